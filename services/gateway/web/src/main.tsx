import "./styles/font.css";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/views.css";

import { render } from "preact";

import { Page } from "./Page";

render(<Page />, document.getElementById("page")!);
