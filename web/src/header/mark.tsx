/** The mark of the product: a gate, and a line through it. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <rect class="mark-ground" x="1" y="1" width="18" height="18" rx="5" />
      <path class="mark-gate" d="M5.5 15V9a4.5 4.5 0 0 1 9 0v6M10 4.5V15" fill="none" stroke-width="1.8" stroke-linecap="round" />
    </svg>
  );
}
