{{/* Labels of every object: give it a dict of root and name, the component's. */}}
{{- define "decibus.labels" -}}
{{ include "decibus.selector" . }}
app.kubernetes.io/part-of: decibus
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a component is selected by. It never changes: a Deployment's selector cannot. */}}
{{- define "decibus.selector" -}}
app.kubernetes.io/name: decibus
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* The image of a service, which may have an image of its own. */}}
{{- define "decibus.image" -}}
{{- $own := (index .root.Values .name).image -}}
{{- $default := .root.Values.image -}}
{{- $suffix := and (eq .name "transcriber") .root.Values.transcriber.gpu.enabled | ternary "-cuda" "" -}}
{{- $registry := .root.Values.global.imageRegistry | default (get $own "registry") | default $default.registry -}}
{{- $repository := get $own "repository" | default (printf "%s/%s%s" $default.repository .name $suffix) -}}
{{- $version := printf ":%s" (get $own "tag" | default $default.tag | default .root.Chart.AppVersion) -}}
{{- if get $own "digest" }}{{ $version = printf "@%s" (get $own "digest") }}{{ end -}}
{{ printf "%s/%s%s" $registry $repository $version | trimPrefix "/" }}
{{- end }}

{{/* Names of what more than one template speaks of. */}}
{{- define "decibus.natsUrl" -}}
{{- $scheme := empty (index .Values "nats-dev").tlsSecret | ternary "nats" "tls" -}}
{{ .Values.nats.url | default (printf "%s://%s-nats:4222" $scheme .Release.Name) }}
{{- end }}
{{- define "decibus.natsSecret" -}}
{{ .Values.nats.auth.existingSecret | default (printf "%s-nats-passwords" .Release.Name) }}
{{- end }}
{{- define "decibus.natsMonitoring" -}}
{{ .Values.nats.monitoring.endpoint | default (printf "%s-nats.%s.svc.cluster.local:8222" .Release.Name .Release.Namespace) }}
{{- end }}
{{- define "decibus.influxUrl" -}}
{{- if .Values.influxdb.url }}{{ .Values.influxdb.url -}}
{{- else if (index .Values "influxdb-dev").enabled }}http://{{ .Release.Name }}-influxdb:8086{{ end -}}
{{- end }}

{{/* Pod Security `restricted`, and a little more. */}}
{{- define "decibus.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "decibus.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* How a container logs in to NATS, as `user`. Its volume is "decibus.natsVolumes". */}}
{{- define "decibus.natsEnv" -}}
- {name: NATS_URL, value: {{ include "decibus.natsUrl" .root | quote }}}
{{- with .root.Values.nats }}
{{- if .auth.credsSecret }}
- {name: NATS_CREDS, value: /etc/nats/creds/{{ $.user }}.creds}
{{- else if .auth.enabled }}
- {name: NATS_USER, value: {{ $.user }}}
- name: NATS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "decibus.natsSecret" $.root }}, key: {{ $.user }}}}
{{- end }}
{{- if .tls.existingSecret }}
- {name: NATS_CA, value: /etc/nats/tls/{{ .tls.caKey }}}
{{- if .tls.clientCertificate }}
- {name: NATS_CERT, value: /etc/nats/tls/tls.crt}
- {name: NATS_KEY, value: /etc/nats/tls/tls.key}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "decibus.natsVolumes" -}}
{{- with .root.Values.nats }}
{{- if .auth.credsSecret }}
- name: nats-creds
  secret:
    secretName: {{ .auth.credsSecret }}
    items: [{key: {{ $.user }}.creds, path: {{ $.user }}.creds}]
{{- end }}
{{- if .tls.existingSecret }}
- name: nats-tls
  secret:
    secretName: {{ .tls.existingSecret }}
    items:
      - {key: {{ .tls.caKey }}, path: {{ .tls.caKey }}}
      {{- if .tls.clientCertificate }}
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "decibus.natsMounts" -}}
{{- with .root.Values.nats }}
{{- if .auth.credsSecret }}
- {name: nats-creds, mountPath: /etc/nats/creds, readOnly: true}
{{- end }}
{{- if .tls.existingSecret }}
- {name: nats-tls, mountPath: /etc/nats/tls, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
