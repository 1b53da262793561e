{{/*
The pod of a service, in a Deployment or in a Job: give it a dict of root and name, and for a pod
that does one job and ends, once.
*/}}
{{- define "decibus.pod" -}}
{{- $service := index .root.Values .name -}}
{{- $isGateway := eq .name "gateway" -}}
{{- $isTranscriber := eq .name "transcriber" -}}
{{- $gpu := and $isTranscriber .root.Values.transcriber.gpu.enabled -}}
{{- $nats := dict "root" .root "user" .name -}}
serviceAccountName: {{ .root.Release.Name }}-{{ .name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "decibus.podSecurity" . | nindent 2 }}
terminationGracePeriodSeconds: {{ include "decibus.termination" $service }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $service.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if $gpu }}
{{- with $service.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}
{{- with $service.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $service.tolerations ($gpu | ternary (dig "gpu" "tolerations" list $service) list) }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $service.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and $service.spread (not .once) }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {{ include "decibus.selector" $ | fromYaml | toJson }}}
  {{- end }}
{{- end }}
{{- if .once }}
restartPolicy: Never
{{- end }}
{{- if $isTranscriber }}
{{- include "decibus.modelInit" .root }}
{{- end }}
containers:
  - name: {{ .name }}
    image: {{ include "decibus.image" . }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    {{- if .once }}
    args: [--once]
    {{- end }}
    securityContext: {{- include "decibus.containerSecurity" . | nindent 6 }}
    env:
      {{- include "decibus.natsEnv" $nats | nindent 6 }}
      - {name: NATS_REPLICAS, value: {{ .root.Values.nats.replicas | quote }}}
      - {name: PARTITIONS, value: {{ .root.Values.nats.partitions | quote }}}
      - {name: GRACE_S, value: {{ $service.graceSeconds | quote }}}
      - {name: METRICS_HOST, value: 0.0.0.0}
      - {name: METRICS_PORT, value: {{ .root.Values.management.port | quote }}}
      {{- if $service.slots }}
      - {name: SLOTS, value: {{ $service.slots | quote }}}
      - {name: OMP_NUM_THREADS, value: "1"}
      {{- end }}
      {{- with $service.workers }}
      - {name: WORKERS, value: {{ . | quote }}}
      {{- end }}
      {{- if $isGateway }}
      - {name: HTTP_HOST, value: 0.0.0.0}
      - {name: HTTP_PORT, value: "8000"}
      {{- with $service.trustedProxies }}
      - {name: TRUSTED_PROXIES, value: {{ . | quote }}}
      {{- end }}
      {{- with $service.corsOrigins }}
      - {name: CORS_ORIGINS, value: {{ . | quote }}}
      {{- end }}
      {{- if $service.apiKeys.existingSecret }}
      - {name: API_KEYS_FILE, value: /etc/decibus/keys/keys}
      {{- end }}
      {{- with $service.webhooks.existingSecret }}
      - name: WEBHOOK_SECRET
        valueFrom: {secretKeyRef: {name: {{ . }}, key: secret}}
      {{- end }}
      {{- with $service.links.existingSecret }}
      - name: SIGNING_KEYS
        valueFrom: {secretKeyRef: {name: {{ . }}, key: keys}}
      {{- end }}
      {{- end }}
      {{- if $isTranscriber }}
      {{- include "decibus.modelEnv" .root | nindent 6 }}
      {{- end }}
      {{- if eq .name "recorder" }}
      {{- include "decibus.influxEnv" .root | nindent 6 }}
      {{- end }}
      {{- range $variable, $value := $service.env }}
      - {name: {{ $variable }}, value: {{ $value | quote }}}
      {{- end }}
      {{- with $service.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- if $isGateway }}
      - {name: http, containerPort: 8000}
      {{- end }}
      - {name: metrics, containerPort: {{ .root.Values.management.port }}}
    {{- if not .once }}
    startupProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 2
      failureThreshold: 60
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      timeoutSeconds: 3
    {{- end }}
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      {{- if .once }}
      initialDelaySeconds: 10
      {{- end }}
      periodSeconds: 10
      timeoutSeconds: 5
    {{- with $service.preStopSeconds }}
    lifecycle: {preStop: {exec: {command: [sleep, {{ . | quote }}]}}}
    {{- end }}
    resources:
      {{- if $gpu }}
      {{- $count := dict (dig "gpu" "resource" "" $service) (dig "gpu" "count" 1 $service) }}
      {{- toYaml (merge (dict "limits" $count) $service.resources) | nindent 6 }}
      {{- else }}
      {{- toYaml $service.resources | nindent 6 }}
      {{- end }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      {{- include "decibus.natsMounts" $nats | nindent 6 }}
      {{- if and $isGateway (dig "apiKeys" "existingSecret" "" $service) }}
      - {name: keys, mountPath: /etc/decibus/keys, readOnly: true}
      {{- end }}
      {{- if and $isTranscriber (ne $service.model.source "demo") }}
      - {name: model, mountPath: /models}
      {{- end }}
      {{- with $service.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  {{- include "decibus.natsVolumes" $nats | nindent 2 }}
  {{- if and $isGateway (dig "apiKeys" "existingSecret" "" $service) }}
  - name: keys
    secret: {secretName: {{ $service.apiKeys.existingSecret }}}
  {{- end }}
  {{- if and $isTranscriber (ne $service.model.source "demo") }}
  {{- include "decibus.modelVolume" .root | nindent 2 }}
  {{- end }}
  {{- with $service.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* When a pod is killed: after its grace and preStop, and some time to hand back what it has. */}}
{{- define "decibus.leastTermination" -}}
{{ add .graceSeconds .preStopSeconds 15 }}
{{- end }}
{{- define "decibus.termination" -}}
{{ .terminationGracePeriodSeconds | default (include "decibus.leastTermination" .) | int }}
{{- end }}

{{- define "decibus.influxEnv" -}}
{{- with include "decibus.influxUrl" . }}
- {name: INFLUXDB_URL, value: {{ . | quote }}}
- {name: INFLUXDB_ORG, value: {{ $.Values.influxdb.org | quote }}}
- {name: INFLUXDB_BUCKET, value: {{ $.Values.influxdb.bucket | quote }}}
- name: INFLUXDB_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.influxdb.existingSecret | default (printf "%s-influxdb" $.Release.Name) }}
      key: {{ $.Values.influxdb.tokenKey }}
{{- end }}
{{- end }}
