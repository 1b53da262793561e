/** The genres and targets that this gateway knows, as its OpenAPI document tells. */

import { signal } from "@preact/signals";

import { ask } from "./client";

export interface Choices {
  genres: readonly string[];
  targets: readonly string[];
}

export const choices = signal<Choices>({ genres: [], targets: [] });

interface Described {
  paths: {
    "/analyze": {
      post: {
        requestBody: {
          content: {
            "multipart/form-data": { schema: { properties: Record<string, { enum?: string[] }> } };
          };
        };
      };
    };
  };
}

let asked: Promise<void> | undefined;

/** Ask once. Without an answer nothing can be chosen, and everything can still be measured. */
export function learnChoices(): Promise<void> {
  asked ??= ask<Described>("/schema/openapi.json").then(
    ({ paths }) => {
      const form = paths["/analyze"].post.requestBody.content["multipart/form-data"];
      const { genre, target } = form.schema.properties;
      choices.value = { genres: genre?.enum ?? [], targets: target?.enum ?? [] };
    },
    () => {
      asked = undefined;
    },
  );
  return asked;
}

/** A genre as people write it: `hip_hop` is Hip hop. */
export function genreName(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
