import { useEffect, useRef, useState } from "preact/hooks";

import type { Playhead } from "../charts/playhead";

export interface Heard {
  audio: { current: HTMLAudioElement | null };
  /** The address of the file in this browser; empty without a file. */
  address: string;
  isBroken: boolean;
  onBroken: () => void;
}

/** Let a local file be heard by an `<audio>`, which the playhead follows. */
export function useSound(file: File | null, playhead: Playhead): Heard {
  const audio = useRef<HTMLAudioElement>(null);
  const [address, setAddress] = useState("");
  const [isBroken, setBroken] = useState(false);
  useEffect(() => {
    setBroken(false);
    if (!file) return;
    const made = URL.createObjectURL(file);
    setAddress(made);
    return () => {
      setAddress("");
      URL.revokeObjectURL(made);
    };
  }, [file]);
  useEffect(() => {
    return address && !isBroken && audio.current ? playhead.attach(audio.current) : undefined;
  }, [address, isBroken, playhead]);
  return { audio, address, isBroken, onBroken: () => setBroken(true) };
}
