// Base64 with padding, without more letters than it needs.

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  const STEP = 8_192;
  for (let from = 0; from < bytes.length; from += STEP) text += String.fromCharCode(...bytes.subarray(from, from + STEP));
  return btoa(text);
}

/** Nothing if it is not base64, or could be written differently. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
