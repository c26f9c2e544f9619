# The image of every program of the project: `fairlead <subcommand>`.
# Built in two stages: the first has compilers, the second only what runs.

FROM node:24-bookworm-slim AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates cargo-web cmake gcc libc6-dev make perl \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/fairlead
COPY package.json package-lock.json .npmrc ./
# The base image's own Node runs things here; the package of the same name would be a second one.
# Types and source maps of packages are a third of them, and nothing reads them here.
RUN npm install --no-save --omit=dev --no-audit --no-fund \
  && rm -rf node_modules/node node_modules/node-* node_modules/.bin/node node_modules/@types ~/.npm \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete
COPY sidecar/native sidecar/native
RUN node sidecar/native/build.ts && strip --strip-unneeded sidecar/native/fairlead.node

FROM node:24-bookworm-slim
# udhcpc, for addresses.dhcp; nft, for forwarding and masquerading of routed tunnels.
RUN apt-get update \
  && apt-get install -y --no-install-recommends busybox nftables \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/fairlead
COPY --from=build /opt/fairlead/node_modules node_modules
COPY package.json LICENSE ./
COPY common common
COPY crds crds
COPY authority authority
COPY operator operator
COPY sidecar sidecar
COPY cli cli
COPY --from=build /opt/fairlead/sidecar/native/fairlead.node sidecar/native/fairlead.node
# What V8 makes of every program here: each of them ends at once, for want of a cluster or a file.
RUN export NODE_COMPILE_CACHE=/tmp/compiled \
  && for program in "operator --image none --kubeconfig /none" "gateway --namespace none --tunnel none --kubeconfig /none" \
    "attach -f /none --run /tmp" "ready --run /tmp" "status --run /tmp"; do timeout 60 node cli/main.ts $program >/dev/null 2>&1; done; \
  timeout 60 node --eval 'import("/opt/fairlead/sidecar/worker-thread.ts").catch(() => undefined)' >/dev/null 2>&1; \
  mkdir compiled && for made in /tmp/compiled/*; do cp -r "$made" "compiled/$(basename "${made%-0}")"; done \
  && chmod -R a+rX compiled && rm -rf /tmp/compiled
ENV NODE_COMPILE_CACHE=/tmp/fairlead-compile
ENTRYPOINT ["/opt/fairlead/cli/container.sh"]
CMD ["--help"]
