// A browser opens six connections to an origin, and a live stream holds one. So all windows
// together have four live streams; another one may take over the place of one of them.

const SLOTS = 4;
const NAME = "auditgate-live-";

export interface Slot {
  release(): void;
}

/** Takes a place, if one is free. Without Web Locks, which need a secure context, there is no limit. */
export async function takeSlot(stolen: () => void): Promise<Slot | undefined> {
  const locks = globalThis.navigator?.locks;
  if (locks === undefined) return { release: () => {} };
  for (let number = 0; number < SLOTS; number++) {
    const slot = await request(locks, number, { ifAvailable: true }, stolen);
    if (slot !== undefined) return slot;
  }
  return undefined;
}

/** Takes the place of another window, which then stops. */
export async function stealSlot(stolen: () => void): Promise<Slot> {
  const locks = globalThis.navigator?.locks;
  if (locks === undefined) return { release: () => {} };
  const number = Math.floor(Math.random() * SLOTS);
  return (await request(locks, number, { steal: true }, stolen)) ?? { release: () => {} };
}

function request(locks: LockManager, number: number, options: LockOptions, stolen: () => void): Promise<Slot | undefined> {
  return new Promise((resolve) => {
    let released = false;
    locks
      .request(`${NAME}${number}`, options, (lock) => {
        if (lock === null) {
          resolve(undefined);
          return undefined;
        }
        return new Promise<void>((release) => {
          resolve({
            release: () => {
              released = true;
              release();
            },
          });
        });
      })
      .catch(() => {
        if (!released) stolen();
      });
  });
}
