/** `10.1.2.3:4711` and `[::1]:4711` without the port. */
export function withoutPort(address: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(address);
  if (bracketed !== null) return bracketed[1] ?? "";
  return /^[^:]*:\d+$/.test(address) ? address.slice(0, address.indexOf(":")) : address;
}
