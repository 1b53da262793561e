/** A chart as a file: its SVG with the colours that it has on the page, or a PNG of that. */

const SVG = "http://www.w3.org/2000/svg";
/** What the page's style sheets give a drawing. As attributes, so that no policy minds them. */
const STYLED = [
  ..."fill fill-opacity stroke stroke-width stroke-opacity stroke-dasharray stroke-linecap".split(" "),
  ..."stroke-linejoin opacity font-family font-size font-weight letter-spacing".split(" "),
  ..."text-anchor dominant-baseline visibility".split(" "),
];
const MARGIN = 24;
const HEAD = 48;

/** What a picture shows, and of which file. */
export interface Picture {
  of: string;
  what: string;
}

/** Return a chart that stands by itself, under what it is and what it is of, as an SVG document. */
export function documentOf(drawing: SVGSVGElement, title: string, of: string): string {
  const { width, height } = drawing.viewBox.baseVal;
  const styles = getComputedStyle(drawing);
  const copy = document.createElementNS(SVG, "svg");
  const [wide, high] = [width + 2 * MARGIN, height + 2 * MARGIN + HEAD];
  put(copy, { xmlns: SVG, width: wide, height: high, viewBox: `0 0 ${wide} ${high}` });
  const paper = copy.appendChild(document.createElementNS(SVG, "rect"));
  put(paper, { width: wide, height: high, fill: colourOf(drawing, "--surface") });
  const heads = [
    { text: title, y: MARGIN + 14, fill: "--ink", "font-size": 16, "font-weight": 600 },
    { text: of, y: MARGIN + 32, fill: "--ink-3", "font-size": 12, "font-weight": 400 },
  ];
  for (const { text, fill, ...rest } of heads) {
    const head = copy.appendChild(document.createElementNS(SVG, "text"));
    put(head, { ...rest, x: MARGIN, fill: colourOf(drawing, fill), "font-family": styles.fontFamily });
    head.textContent = text;
  }
  const place = copy.appendChild(document.createElementNS(SVG, "g"));
  place.setAttribute("transform", `translate(${MARGIN} ${MARGIN + HEAD})`);
  for (const child of drawing.children) place.append(styled(child));
  return new XMLSerializer().serializeToString(copy);
}

/** Paint an SVG document twice as large as it says. */
export async function pngOf(svg: string): Promise<Blob> {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * image.naturalWidth, 2 * image.naturalHeight];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve, reject) =>
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("nothing was painted")))),
    );
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Have the browser save something that was made here. */
export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Resolve a custom property to a colour: only an element knows in which theme it is. */
function colourOf(drawing: SVGSVGElement, property: string): string {
  const probe = drawing.appendChild(document.createElementNS(SVG, "path"));
  probe.style.fill = `var(${property})`;
  const colour = getComputedStyle(probe).fill;
  probe.remove();
  return colour;
}

function styled(element: Element): Element {
  const copy = element.cloneNode(false) as Element;
  copy.removeAttribute("class");
  const styles = getComputedStyle(element);
  for (const name of STYLED) {
    const value = styles.getPropertyValue(name);
    if (value) copy.setAttribute(name, value);
  }
  for (const child of element.childNodes) {
    copy.append(child instanceof Element ? styled(child) : child.cloneNode());
  }
  return copy;
}

function put(element: Element, attributes: Record<string, string | number>): void {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}
