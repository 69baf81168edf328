# The worker of docker-compose.yml. Platform credentials reach it through its environment, never through the image.
FROM node:24-bookworm-slim
WORKDIR /backout
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts
COPY model model
COPY workflows workflows
COPY activities activities
COPY store store
COPY worker worker
COPY client client
# Built once here, so that a container starts polling at once.
RUN node -e "import('./worker/bundle.ts').then((bundle) => bundle.workflowBundle())"
USER node
ENV BACKOUT_CONFIG=/etc/backout/backout.yaml
CMD ["node", "worker/main.ts"]
