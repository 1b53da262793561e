{{/* How the transcriber comes to its model; root is the scope. */}}
{{- define "decibus.modelEnv" -}}
{{- $model := .Values.transcriber.model -}}
{{- if eq $model.source "demo" }}
- {name: DECIBUS_MODEL, value: demo}
{{- else if eq $model.source "hub" }}
- {name: DECIBUS_MODEL, value: {{ $model.name | quote }}}
- {name: HF_HOME, value: /models}
- {name: HF_HUB_OFFLINE, value: "0"}
{{- else if eq $model.source "claim" }}
- {name: DECIBUS_MODEL, value: {{ printf "/models/%s" $model.path | trimSuffix "/" }}}
{{- else if eq $model.source "url" }}
- {name: DECIBUS_MODEL, value: {{ printf "%s#sha256=%s" $model.url (lower $model.sha256) | quote }}}
- {name: MODEL_CACHE, value: /models}
{{- else }}
- {name: DECIBUS_MODEL, value: /models/model}
{{- end }}
{{- if .Values.transcriber.gpu.enabled }}
- {name: DEVICE, value: cuda}
- {name: COMPUTE_TYPE, value: {{ .Values.transcriber.gpu.computeType }}}
{{- else }}
- {name: DEVICE, value: cpu}
{{- end }}
{{- end }}

{{- define "decibus.modelVolume" -}}
{{- $model := .Values.transcriber.model -}}
- name: model
{{- if eq $model.source "claim" }}
  persistentVolumeClaim: {claimName: {{ $model.existingClaim }}, readOnly: true}
{{- else if $model.cache.size }}
  persistentVolumeClaim: {claimName: {{ .Release.Name }}-models}
{{- else }}
  emptyDir: {sizeLimit: {{ $model.cache.sizeLimit }}}
{{- end }}
{{- end }}

{{/* What brings the model's directory before the transcriber starts; nothing where it does it itself. */}}
{{- define "decibus.modelInit" -}}
{{- $model := .Values.transcriber.model -}}
{{- if eq $model.source "image" }}
initContainers:
  - name: model
    image: {{ $model.image }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [cp, -rT, {{ $model.path | quote }}, /models/model]
    securityContext: {{- include "decibus.containerSecurity" . | nindent 6 }}
    resources: {{- toYaml .Values.transcriber.resources | nindent 6 }}
    volumeMounts:
      - {name: model, mountPath: /models}
      - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end }}
