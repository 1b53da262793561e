import { useEffect, useRef } from "preact/hooks";

import { at } from "./api/client";
import { Icon } from "./parts/Icon";
import { KeyBar } from "./parts/KeyBar";
import { type Route, route } from "./router";
import { choose, theme, THEMES } from "./theme";
import { Api } from "./views/Api";
import { ExamplePage } from "./views/Example";
import { Kept } from "./views/Kept";
import { Library } from "./views/Library";
import { Measure } from "./views/Measure";
import { ReportPage } from "./views/ReportPage";
import { Status } from "./views/Status";

const TITLES: Record<Route["view"], string> = {
  measure: "Measure",
  report: "Report",
  example: "Example",
  library: "Library",
  kept: "Kept report",
  api: "API",
  status: "Status",
  nowhere: "Nothing here",
};

/** The frame around every view: where one is, where one can go. */
export function Page() {
  const here = route.value;
  useArrival(here);
  return (
    <>
      <a class="skip" href="#view" onClick={skip}>
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/" aria-label="decibus, to the start">
          <Mark />
          decibus
        </a>
        <nav aria-label="Main">
          <ul class="tabs">
            <Tab href="#/" name="Measure" isHere={["measure", "report", "example"].includes(here.view)} />
            <Tab href="#/library" name="Library" isHere={["library", "kept"].includes(here.view)} />
            <Tab href="#/api" name="API" isHere={here.view === "api"} />
            <Tab href="#/status" name="Status" isHere={here.view === "status"} />
          </ul>
        </nav>
        <ThemeButton />
      </header>
      <main>
        <KeyBar />
        <View here={here} />
      </main>
      <footer class="foot">
        <p>
          Measured by ITU-R BS.1770-5 and EBU R 128. Orientation, not mastering advice.{" "}
          <a href={at("/schema")}>OpenAPI</a>
        </p>
      </footer>
    </>
  );
}

function View({ here }: { here: Route }) {
  switch (here.view) {
    case "measure":
      return <Measure />;
    case "report":
      return <ReportPage token={here.token} />;
    case "example":
      return <ExamplePage />;
    case "library":
      return <Library />;
    case "kept":
      return <Kept id={here.id} />;
    case "api":
      return <Api />;
    case "status":
      return <Status />;
    case "nowhere":
      return <Nowhere />;
  }
}

function Nowhere() {
  return (
    <section class="hero small">
      <h1 id="view" tabIndex={-1}>
        There is nothing here
      </h1>
      <p class="lead">
        The address leads nowhere. <a href="#/">Measure a file</a>
      </p>
    </section>
  );
}

/** Name the tab, and let a screen reader begin at the heading of the view that was gone to. */
function useArrival(here: Route): void {
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = here.view === "measure" ? "decibus" : `${TITLES[here.view]} · decibus`;
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    scrollTo(0, 0);
    heading()?.focus({ preventScroll: true });
  }, [here]);
}

/** Not by its address: that is the route's. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  heading()?.focus();
}

function heading(): HTMLElement | null {
  return document.getElementById("view");
}

function Tab({ href, name, isHere }: { href: string; name: string; isHere: boolean }) {
  return (
    <li>
      <a href={href} {...(isHere ? { "aria-current": "page" as const } : {})}>
        {name}
      </a>
    </li>
  );
}

function ThemeButton() {
  const now = theme.value;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]!;
  return (
    <button type="button" class="button quiet theme" onClick={() => choose(next)} aria-label={`Colours: ${now}. Change to ${next}`}>
      <Icon name={now} />
      <span class="theme-name">{now}</span>
    </button>
  );
}

/** Three lights of a meter. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <rect x="2" y="10" width="4.5" height="12" rx="1.5" />
      <rect x="9.75" y="2" width="4.5" height="20" rx="1.5" />
      <rect x="17.5" y="7" width="4.5" height="15" rx="1.5" />
    </svg>
  );
}
