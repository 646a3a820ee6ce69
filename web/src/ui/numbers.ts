// Numbers for people.

/** A whole number, its digits in threes. Not by `Intl`, which takes 10 ms to begin with. */
export function grouped(value: number | bigint): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `1 record`, `2,000 records`. */
export function counted(value: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${grouped(value)} ${value === 1 || value === 1n ? noun : plural}`;
}

export function bytes(value: bigint | number): string {
  const size = Number(value);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let rest = size;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${units[unit] ?? ""}`;
}

export function rate(value: number): string {
  if (value === 0) return "0/s";
  if (value < 10) return `${value.toFixed(1)}/s`;
  return `${grouped(Math.round(value))}/s`;
}

/** `12.3 k`, for axes and facets. */
export function short(value: number | bigint): string {
  const number = Number(value);
  if (number < 10_000) return grouped(number);
  const units: [number, string][] = [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  const [size, name] = units.find(([least]) => number >= least) ?? [1, ""];
  const scaled = number / size;
  return `${scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1).replace(/\.0$/, "")} ${name}`;
}
