"""`helm test`: upload a tone by HTTP, send it by NATS, and read its loudness both times."""

import asyncio
import io
import json
import math
import os
import ssl
import struct
import urllib.request
import wave

import nats

RATE = 48_000
KEY = {"X-API-Key": os.environ["API_KEY"]} if os.getenv("API_KEY") else {}


def tone() -> bytes:
    """Return a WAV file: 997 Hz at -20 dBFS, which is -23.01 LUFS in one channel."""
    samples = (0.1 * math.sin(math.tau * 997 * i / RATE) for i in range(RATE))
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(RATE)
        audio.writeframes(b"".join(struct.pack("<h", round(32767 * s)) for s in samples))
    return file.getvalue()


def upload(audio: bytes) -> bytes:
    """Send it as a browser does; returns the report."""
    head = 'Content-Disposition: form-data; name="file"; filename="tone.wav"'
    body = b"--part\r\n" + head.encode() + b"\r\n\r\n" + audio + b"\r\n--part--\r\n"
    url = os.environ["GATEWAY_URL"] + "/analyze?tasks=loudness&wait=120"
    kind = {"Content-Type": "multipart/form-data; boundary=part"}
    request = urllib.request.Request(url, body, kind | KEY)
    with urllib.request.urlopen(request, timeout=150) as answer:
        return answer.read()


def trusted() -> ssl.SSLContext | None:
    """Return what a server's certificate is checked by; None leaves it to the URL."""
    if "NATS_CA" not in os.environ:
        return None
    context = ssl.create_default_context(cafile=os.environ["NATS_CA"])
    if "NATS_CERT" in os.environ:
        context.load_cert_chain(os.environ["NATS_CERT"], os.getenv("NATS_KEY"))
    return context


async def ask(audio: bytes) -> bytes:
    """Send it as `nats request` does; returns the report."""
    connection = await nats.connect(
        os.environ["NATS_URL"].split(","),
        user=os.getenv("NATS_USER"),
        password=os.getenv("NATS_PASSWORD"),
        user_credentials=os.getenv("NATS_CREDS"),
        tls=trusted(),
    )
    answer = await connection.request(
        "audio.process", audio, timeout=120, headers={"Tasks": "loudness", **KEY}
    )
    await connection.close()
    return answer.data


def check(door: str, answer: bytes) -> None:
    """Fail when the loudness is not the tone's."""
    report = json.loads(answer)
    print(door, report.get("status"), report.get("loudness", report))
    assert report["status"] == "done", report
    assert abs(report["loudness"]["integrated_lufs"] + 23.0) < 0.1


if __name__ == "__main__":
    if "GATEWAY_URL" in os.environ:
        check("http", upload(tone()))
    else:
        check("nats", asyncio.run(ask(tone())))
