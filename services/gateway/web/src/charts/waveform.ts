/** The waveform of a local file. Loaded when there is one to be drawn. */

import { decodeRate, peaksOf, type Peaks } from "./peaks";

/**
 * Decode a file and find its peaks; nothing of it leaves the machine.
 *
 * Returns null for what is too long to be held in memory. Rejects where the browser has no decoder,
 * and with the signal's reason when nobody waits for it any more.
 */
export async function waveformOf(
  file: File,
  audio: { duration: number; channels: number; sample_rate: number },
  signal: AbortSignal,
): Promise<Peaks | null> {
  const rate = decodeRate(audio.duration, audio.channels, audio.sample_rate);
  if (rate === null) {
    return null;
  }
  const bytes = await file.arrayBuffer();
  signal.throwIfAborted();
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  signal.throwIfAborted();
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  return peaksOf(channels, buffer.sampleRate, async () => {
    await breath();
    signal.throwIfAborted();
  });
}

/** Let whatever waits go first; a timer would wait for 4 ms each time. */
function breath(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
