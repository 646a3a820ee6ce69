// Where the repository is: the tests run from a copy of web/ below its target folder.

/** Set by the Makefile. */
export function tree(): string {
  const folder = process.env["AUDITGATE_TREE"];
  if (folder === undefined) throw new Error("run the tests by make test-web-unit, which sets AUDITGATE_TREE");
  return folder;
}
