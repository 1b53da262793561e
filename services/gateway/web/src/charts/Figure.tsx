import "./charts.css";

import type { ComponentChildren, RefObject } from "preact";
import { useState } from "preact/hooks";

import { documentOf, pngOf, save, type Picture } from "./picture";

interface FigureProps {
  /** What the picture is called, also in a file of it. */
  title: string;
  picture: Picture;
  drawing: RefObject<SVGSVGElement>;
  /** The same numbers as a table, made when it is asked for. */
  table: () => ComponentChildren;
  children: ComponentChildren;
}

/** Frame a chart with what everyone can have of it: a table, and a file to keep. */
export function Figure({ title, picture, drawing, table, children }: FigureProps) {
  const [isOpen, setOpen] = useState(false);
  const keep = async (form: "svg" | "png") => {
    if (!drawing.current) return;
    const svg = documentOf(drawing.current, title, picture.of);
    save(
      form === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await pngOf(svg),
      `${picture.of} - ${picture.what}.${form}`,
    );
  };
  return (
    <figure class="figure">
      {children}
      <figcaption class="figure-foot">
        <details onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>
            Show as table<span class="sr-only">: {title}</span>
          </summary>
          {isOpen && (
            <div class="table-scroll" tabIndex={0} role="region" aria-label={`Table: ${title}`}>
              {table()}
            </div>
          )}
        </details>
        <span class="figure-files">
          {(["svg", "png"] as const).map((form) => (
            <button type="button" class="button quiet" onClick={() => void keep(form)}>
              <span class="sr-only">Save the chart “{title}” as </span>
              {form.toUpperCase()}
            </button>
          ))}
        </span>
      </figcaption>
    </figure>
  );
}
