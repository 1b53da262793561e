import { defineConfig } from "vitest/config";

/** `npm run dev` serves the page itself and asks this gateway for everything else. */
const GATEWAY = "http://127.0.0.1:8000";
const ROUTES = [
  ..."analyze result events transcripts stats healthz readyz schema v1 transcode outputs".split(" "),
].map((name) => `/${name}`);

export default defineConfig({
  // Relative, so that the same files work under any path, behind a gateway or on a CDN.
  base: "./",
  build: {
    target: "es2022",
    // The policy knows no data: addresses, and no inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      ...Object.fromEntries(ROUTES.map((route) => [route, GATEWAY])),
      "/ws": { target: GATEWAY, ws: true },
    },
  },
  test: { include: ["src/**/*.test.ts"] },
});
