import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

/** `npm run dev` and `npm run preview` ask a gateway for all that is not the page. */
const USUAL_GATEWAY = "http://127.0.0.1:8000";
const ROUTES = [
  ..."analyze result events transcripts stats healthz readyz schema v1 transcode outputs plain".split(" "),
].map((name) => `/${name}`);

function proxyTo(gateway: string) {
  const routes = ROUTES.map((route) => [route, gateway]);
  return { ...Object.fromEntries(routes), "/ws": { target: gateway, ws: true } };
}

/** What the gateway sends with the page: services/gateway/browser.py. */
const POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'",
  "img-src 'self' blob:; media-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
].join("; ");

export default defineConfig(({ mode }) => {
  const { GATEWAY = USUAL_GATEWAY } = loadEnv(mode, ".", "GATEWAY");
  const proxy = proxyTo(GATEWAY);
  return {
    // Relative, so that the same files work under any path, behind a gateway or on a CDN.
    base: "./",
    build: {
      target: "es2022",
      // The policy knows no data: addresses, and no inline scripts.
      assetsInlineLimit: 0,
      // What is loaded later is small: finding it ahead costs more than it saves.
      modulePreload: false,
      cssCodeSplit: false,
    },
    server: { proxy },
    preview: { proxy, headers: { "Content-Security-Policy": POLICY } },
    test: { include: ["src/**/*.test.ts"] },
  };
});
