"""What a gateway can be told."""

from decibus.settings import LogLevel, ManagementSettings, Partitions, Positive


class Settings(ManagementSettings, frozen=True, kw_only=True):
    """
    Read from the environment, one variable a field, in upper case.

    `max_upload_bytes` and `max_duration_s` bound one file, `max_request_bytes` all files of one
    request; `wait_s` is how long `POST /analyze`
    waits when the client does not say, `max_wait_s` the most it may ask for; `openai_wait_s` how
    long OpenAI's routes wait: less than the 10 minutes after which its clients give up.
    `report_ttl_s` is how long a token works, less than the 17 minutes of the bucket.

    `api_keys` (`name:sha256hex,…`) and `api_keys_file` say who may ask: nobody named is everybody.
    In any `rate_window_s` a key, or where there are no keys an address, may make `rate_limit`
    requests that mean work; 0 is without limit. 600 a minute is ten times what a person does and
    more than one core measures, so it stops a runaway loop and no one else. `trusted_proxies` are
    the networks, such as `10.0.0.0/8`, whose X-Forwarded-For says what the client's address is.

    `reaper_interval_s` is how often one of the gateways looks for what was left behind; another one
    takes over when that one has been silent for `reaper_lease_s`. `orphan_audio_s` is how old an
    upload must be before it counts as left behind when no job names it: longer than the files of
    one request may take to arrive, because jobs are opened after the last of them.

    `webhook_secret` signs what is posted to a `callback_url`: `whsec_…`, several separated by
    spaces while one replaces another; without one there are no callbacks. `webhook_retries` are
    the waits between attempts in seconds, a day in all at most. `callback_ports` are the
    ports that may be called, separated by commas. `callback_allow_http` and
    `callback_allow_loopback` are for tests.

    `max_job_bytes` and `max_job_duration_s` bound a source of `/jobs/`. A signed link works for
    `link_ttl_s`. `signing_keys`, separated by spaces, sign links: the first signs, all are
    accepted; without any the gateways make one that they share in NATS.

    `cors_origins`, separated by commas, are the sites whose scripts may ask: where the page is when
    no gateway serves it, such as `https://page.example.com`; none by default.

    `profiles_dir` has genre profiles beside the built-in ones, a JSON file each: the same on every
    gateway.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    nats_url: str = "nats://127.0.0.1:4222"
    nats_replicas: Positive = 1
    partitions: Partitions = 1
    max_upload_bytes: int = 100_000_000
    max_request_bytes: int = 1_000_000_000
    max_duration_s: float = 360.0
    wait_s: float = 60.0
    max_wait_s: float = 300.0
    openai_wait_s: float = 580.0
    report_ttl_s: float = 900.0
    max_rpc_requests: int = 256
    max_rpc_bytes: int = 256_000_000
    reaper_interval_s: float = 5.0
    reaper_lease_s: float = 15.0
    orphan_audio_s: float = 1800.0
    api_keys: str = ""
    api_keys_file: str = ""
    rate_limit: int = 600
    rate_window_s: int = 60
    trusted_proxies: str = ""
    grace_s: float = 25.0
    webhook_secret: str = ""
    webhook_slots: Positive = 16
    webhook_retries: str = "5,300,1800,7200,18000,36000"
    callback_ports: str = "443"
    callback_allow_http: bool = False
    callback_allow_loopback: bool = False
    max_job_bytes: Positive = 1_000_000_000
    max_job_duration_s: float = 7200.0
    link_ttl_s: Positive = 3600
    signing_keys: str = ""
    cors_origins: str = ""
    profiles_dir: str = ""
    log_level: LogLevel = "info"
