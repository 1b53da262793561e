import "./styles/tokens.css";
import "./styles/base.css";

import { render } from "preact";

import { ReportView } from "./report";
import { example } from "./example";

render(<ReportView report={example()} />, document.getElementById("page")!);
