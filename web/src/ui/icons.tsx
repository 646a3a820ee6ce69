// The page's icons: paths on a grid of 16.

const PATHS = {
  pause: "M5 3v10M11 3v10",
  play: "M5 3l8 5-8 5z",
  close: "M4 4l8 8M12 4l-8 8",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.5 10.5L14 14",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  copy: "M6 6V3h7v7h-3M3 6h7v7H3z",
  shield: "M8 1.5l5.5 2v4c0 3.5-2.3 5.8-5.5 7-3.2-1.2-5.5-3.5-5.5-7v-4z",
  shieldOk: "M8 1.5l5.5 2v4c0 3.5-2.3 5.8-5.5 7-3.2-1.2-5.5-3.5-5.5-7v-4zM5.5 8l2 2 3.2-4",
  alert: "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.4",
  clock: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 4.8V8l2.3 1.6",
  download: "M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2M3 13.5h10",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2.2v2.6h-2.6",
  left: "M10 3L5 8l5 5",
  link: "M6.7 9.3l2.6-2.6M7 4.7l1.3-1.3a2.5 2.5 0 0 1 3.6 3.6L10.6 8.3M9 11.3l-1.3 1.3a2.5 2.5 0 0 1-3.6-3.6L5.4 7.7",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  moon: "M13.2 9.8A5.7 5.7 0 0 1 6.2 2.8a5.7 5.7 0 1 0 7 7z",
  auto: "M8 2a6 6 0 1 1 0 12zM8 2a6 6 0 0 0 0 12",
  help: "M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M8 11.8v.3",
  facets: "M2.5 4h11M4.5 8h7M6.5 12h3",
  session: "M3 4h10M3 8h6M3 12h8",
  around: "M3 8h10M8 2v3.2M8 10.8V14M6 3.8L8 2l2 1.8M6 12.2L8 14l2-1.8",
  exit: "M9.5 3h3.5v10H9.5M2.5 8h7M6.8 5L9.8 8l-3 3",
  ok: "M3 8.5l3.2 3L13 4.5",
  cross: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  dots: "M4 8h.1M8 8h.1M12 8h.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
