{{- /* What all pods of this machine need, around one container's script. */ -}}
{{- define "spec" }}
  nodeName: {{ required "node" .root.Values.node }}
  dnsPolicy: Default
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  containers:
    - name: main
      image: {{ required "image" .root.Values.image }}
      imagePullPolicy: Never
      command: [/bin/sh, -c, {{ .script | quote }}]
      env:
        - name: GREETING
          valueFrom: {configMapKeyRef: {name: {{ .root.Release.Name }}, key: greeting}}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}
