// A dialog of the browser's own: it holds the focus, and Escape closes it.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly testid: string;
}

export function Dialog({ title, onClose, children, testid }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const shown = useRef(true);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => {
      shown.current = false;
      dialog?.close();
    };
  }, []);
  // The event comes later than the dialog goes: by then it may be another one that is open.
  const closed = () => {
    if (shown.current) onClose();
  };
  return (
    <dialog
      ref={ref}
      class="dialog"
      aria-label={title}
      onClose={closed}
      onCancel={closed}
      onClick={(event) => {
        if (event.target === ref.current) onClose();
      }}
      data-testid={testid}
    >
      <div class="dialog-inner">
        <div class="dialog-head">
          <h2>{title}</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
