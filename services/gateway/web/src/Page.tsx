import { useEffect } from "preact/hooks";

import { at } from "./api/client";
import { take } from "./desk";
import { isOver, watchDrops } from "./drops";
import { Heading, toHeading } from "./parts/Heading";
import { Icon } from "./parts/Icon";
import { KeyBar } from "./parts/KeyBar";
import { late } from "./parts/late";
import { go, type Route, route } from "./router";
import { choose, theme, THEMES } from "./theme";
import { Measure } from "./views/Measure";
import { wishes } from "./views/options";

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

// What most visits do not need comes when it is gone to.
const ReportPage = late(() => import("./views/ReportPage").then((view) => view.ReportPage), "…");
const ExamplePage = late(() => import("./views/Example").then((view) => view.ExamplePage), "…");
const Library = late(() => import("./views/Library").then((view) => view.Library), "…");
const Kept = late(() => import("./views/Kept").then((view) => view.Kept), "…");
const Api = late(() => import("./views/Api").then((view) => view.Api), "…");
const Status = late(() => import("./views/Status").then((view) => view.Status), "…");

/** The frame around every view: where one is, where one can go. */
export function Page() {
  const here = route.value;
  useArrival(here);
  useEffect(() => watchDrops(measure), []);
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
      {isOver.value && <div class="hanging" aria-hidden="true" />}
      <footer class="foot">
        <p>
          Measured by ITU-R BS.1770-5 and EBU R 128. Orientation, not mastering advice.{" "}
          <a href={at("/schema")}>OpenAPI</a>
        </p>
      </footer>
    </>
  );
}

function measure(files: File[]): void {
  if (!files.length) return;
  take(files, wishes.peek());
  go("#/");
}

function View({ here }: { here: Route }) {
  switch (here.view) {
    case "measure":
      return <Measure />;
    case "report":
      return <ReportPage key={here.token} token={here.token} />;
    case "example":
      return <ExamplePage />;
    case "library":
      return <Library />;
    case "kept":
      return <Kept key={here.id} id={here.id} />;
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
      <Heading>There is nothing here</Heading>
      <p class="lead">
        The address leads nowhere. <a href="#/">Measure a file</a>
      </p>
    </section>
  );
}

/** Name the tab, and begin at its top. */
function useArrival(here: Route): void {
  useEffect(() => {
    document.title = here.view === "measure" ? "decibus" : `${TITLES[here.view]} · decibus`;
    scrollTo(0, 0);
  }, [here]);
}

/** Not by its address: that is the route's. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  toHeading();
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
    <button
      type="button"
      class="button quiet theme"
      onClick={() => choose(next)}
      aria-label={`Colours: ${now}. Change to ${next}`}
    >
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
