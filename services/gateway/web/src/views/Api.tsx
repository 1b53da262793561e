import type { ComponentChildren } from "preact";

import { API, at } from "../api/client";
import { Copy } from "../parts/Copy";
import { Heading } from "../parts/Heading";

/** How programs ask for the same: every line works as it stands, with the origin of this gateway. */
export function Api() {
  const origin = API.href.replace(/\/$/, "");
  const host = API.host;
  const socket = origin.replace(/^http/, "ws");
  return (
    <>
      <section class="hero small">
        <Heading>API</Heading>
        <p class="lead">
          Whatever door a file comes in by, the report is the same one. These lines are for this gateway; only the
          file’s name is yours. <a href={at("/schema")}>The OpenAPI document</a> describes every route.
        </p>
      </section>
      <div class="doors">
        <Door name="One file" line={`curl -F file=@take.wav -F genre=pop ${origin}/analyze`}>
          The answer is the report, once all of it is there, and at most after 60 s. With an API key, where the gateway
          wants one: <code>-H 'X-API-Key: …'</code>.
        </Door>
        <Door
          name="Several, and no waiting"
          line={`curl -F file=@take.wav -F file=@other.flac '${origin}/analyze?wait=0'`}
        >
          The answer comes at once, with a token for each file. <code>Prefer: respond-async</code> is the same.
        </Door>
        <Door name="Ask for the report" line={`curl '${origin}/result/TOKEN?wait=30'`}>
          Waits until it is complete. <code>.txt .srt .vtt .json</code> after the token give the transcript in that
          form, <code>.csv</code> the loudness over time.
        </Door>
        <Door name="Watch it" line={`curl -N ${origin}/events/TOKEN`}>
          Server-Sent Events: progress, the place in the queue, every segment as it is heard. By WebSocket it is{" "}
          <code>{`${socket}/ws/TOKEN`}</code>.
        </Door>
        <Door
          name="Another format"
          line={`curl -F file=@take.wav -F extension=mp3 -F bit_rate=320 -o take.mp3 ${origin}/transcode`}
        >
          mp3, wav, flac, ogg, opus, m4a; with <code>sample_rate</code>, <code>bit_depth</code> and{" "}
          <code>channels</code>.
        </Door>
        <Door name="OpenAI’s clients" line={python(origin)}>
          The official library, with another address. <code>stream=True</code> works, too.
        </Door>
        <Door
          name="NATS"
          line="nats request audio.process --timeout 120s --raw --no-templates --force-stdin < take.wav"
        >
          Without HTTP at all: the bytes are the request, the report is the reply. The server is the one that {host} is
          connected to.
        </Door>
        <Door
          name="Keep it, and find it"
          line={`curl -F file=@take.wav -F retention=library ${origin}/analyze\ncurl '${origin}/transcripts?q=take'`}
        >
          What is kept stays until it is deleted. <code>in=text</code> searches the words, too.
        </Door>
        <Door name="Delete it" line={`curl -X DELETE ${origin}/result/TOKEN`}>
          Audio, report and results are gone from disk within seconds, unless another report shares them.
        </Door>
      </div>
    </>
  );
}

function python(origin: string): string {
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${origin}/v1", api_key="none")`,
    'with open("take.wav", "rb") as file:',
    '    print(client.audio.transcriptions.create(model="whisper-1", file=file).text)',
  ].join("\n");
}

function Door({ name, line, children }: { name: string; line: string; children: ComponentChildren }) {
  return (
    <section class="door panel" aria-label={name}>
      <header class="door-head">
        <h2>{name}</h2>
        <Copy text={line} what={`“${name}”`} />
      </header>
      <pre class="line">
        <code>{line}</code>
      </pre>
      <p class="muted">{children}</p>
    </section>
  );
}
