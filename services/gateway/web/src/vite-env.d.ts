/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** The address of the API, when the page is built for a CDN; it ends in a slash. */
  readonly VITE_API?: string;
}
