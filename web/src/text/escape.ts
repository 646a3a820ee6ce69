// Text of an event, made harmless: the rules of the command line's terminal output
// (src/printable.rs, src/cli/escape.rs), with a table of cases that both are tested by.

/** A part of a text: to be shown as it is, or a hidden character by its number. */
export interface Segment {
  readonly text: string;
  readonly escaped: boolean;
  /** The hidden character. */
  readonly letter?: string;
}

/** The most combining marks on one character. */
const MARKS_MAX = 3;

// Control and format characters, variation selectors, tags, and every blank but the space.
const HIDDEN = new RegExp(
  "[\\p{Cc}\\u00ad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\\u17b4\\u17b5" +
    "\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0" +
    "\\ufff0-\\ufffc\\u{110bd}\\u{110cd}\\u{13430}-\\u{1343f}\\u{16fe4}\\u{1bca0}-\\u{1bca3}\\u{1d159}" +
    "\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}" +
    "\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000]",
  "u",
);
// What takes no column of its own: marks, and Korean vowels and final consonants.
const MARK = /[\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u1160-\u11ff\ud7b0-\ud7c6\ud7cb-\ud7fb]/u;
/** Texts of nothing but these need no look at each character. */
const PLAIN = /^[ -~]*$/;

/** The text in segments. A line break is hidden, too, unless it is to be kept. */
export function segments(text: string, keepLineBreaks = false): Segment[] {
  if (PLAIN.test(text)) return text === "" ? [] : [{ text, escaped: false }];
  const found: Segment[] = [];
  let run = "";
  let marksLeft = 0;
  for (const letter of text) {
    const number = letter.codePointAt(0) ?? 0;
    const kept = keepLineBreaks && letter === "\n";
    let shown: boolean;
    // Half of a surrogate pair is no character.
    if (kept || HIDDEN.test(letter) || (number >= 0xd800 && number <= 0xdfff)) {
      marksLeft = 0;
      shown = kept;
    } else if (number < 0x300 || !MARK.test(letter)) {
      marksLeft = letter === " " ? 0 : MARKS_MAX;
      shown = true;
    } else {
      shown = marksLeft > 0;
      if (shown) marksLeft -= 1;
    }
    if (shown) {
      run += letter;
      continue;
    }
    if (run !== "") found.push({ text: run, escaped: false });
    run = "";
    found.push({ text: byNumber(letter), escaped: true, letter });
  }
  if (run !== "") found.push({ text: run, escaped: false });
  return found;
}

/** The text in one line, with hidden characters as `\n`, `\u{1b}` and the like. */
export function escaped(text: string): string {
  return segments(text)
    .map((segment) => segment.text)
    .join("");
}

/** JSON text with hidden characters as JSON's own escapes: equal in meaning. Its line breaks stay. */
export function escapedJson(text: string): string {
  return segments(text, true)
    .map((segment) => (segment.escaped ? unicodeEscape(segment.letter ?? "") : segment.text))
    .join("");
}

function unicodeEscape(letter: string): string {
  let escape = "";
  for (let at = 0; at < letter.length; at++) escape += `\\u${letter.charCodeAt(at).toString(16).padStart(4, "0")}`;
  return escape;
}

/** The text as it stands between single quotes in CEL, and in a shell's `$'...'`: hidden characters by their numbers. */
export function singleQuoted(text: string): string {
  return segments(text)
    .map((part) => (part.escaped ? numbered(part.letter ?? "") : part.text.replace(/[\\']/g, "\\$&")))
    .join("");
}

/** A hidden character as shells (in `$'...'`) and CEL write it: `\n`, `\x1b`, `\u202e`, `\U000e0001`. */
function numbered(letter: string): string {
  const number = letter.codePointAt(0) ?? 0;
  if (letter === "\n") return "\\n";
  if (letter === "\r") return "\\r";
  if (letter === "\t") return "\\t";
  if (number < 0x80) return `\\x${number.toString(16).padStart(2, "0")}`;
  return number > 0xffff ? `\\U${number.toString(16).padStart(8, "0")}` : `\\u${number.toString(16).padStart(4, "0")}`;
}

function byNumber(letter: string): string {
  switch (letter) {
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    default:
      return `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`;
  }
}
