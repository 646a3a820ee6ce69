// The clipboard does not exist on plain HTTP beyond loopback.

import { model } from "../state/model";

export async function copy(text: string, what: string): Promise<void> {
  if (navigator.clipboard === undefined) {
    model.say("Browsers offer no clipboard on plain HTTP from another machine. Select the text, and copy it.", "bad");
    return;
  }
  try {
    await navigator.clipboard.writeText(text);
    model.say(`Copied ${what}.`);
  } catch {
    model.say("The browser did not allow copying. Select the text, and copy it.", "bad");
  }
}

/** Offers a text or bytes as a file. */
export function save(name: string, parts: BlobPart[], type: string): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
