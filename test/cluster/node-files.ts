/**
 * The configuration of what runs on a test's node: container runtime, kubelet, kube-proxy, the pods'
 * network and their name server. Everything they write lies below one folder or in mounts that only
 * the node sees.
 */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What the texts are made from. */
export interface NodeSettings {
  /** Folder of the node's files. */
  readonly folder: string;
  readonly address: string;
  readonly pods: string;
  /** Path of the node's group below each hierarchy. */
  readonly controlGroup: string;
  /** Image of the process that holds a pod's namespaces. */
  readonly pauseImage: string;
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
  readonly adminKubeconfig: string;
  readonly proxyKubeconfig: string;
}

/** Writes every file; the folder `cni` holds the pods' network alone. */
export function writeNodeFiles(settings: NodeSettings): void {
  const { folder } = settings;
  mkdirSync(join(folder, "cni"), { recursive: true });
  mkdirSync(join(folder, "pods"), { recursive: true });
  mkdirSync(join(folder, "plugins"), { recursive: true });
  for (const name of readdirSync(PLUGINS)) {
    symlinkSync(join(PLUGINS, name), join(folder, "plugins", name));
  }
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write("init.sh", INIT);
  write("containerd.toml", containerd(settings));
  write("kubelet.json", JSON.stringify(kubelet(settings)));
  write("kube-proxy.json", JSON.stringify(kubeProxy(settings)));
  write("cni/10-pods.conflist", JSON.stringify(network(settings)));
  write("Corefile", nameServer(settings));
}

/** Debian's CNI plugins. */
const PLUGINS = "/usr/lib/cni";

/**
 * Puts Multus in front of the pods' network: the program by itself, without a daemon, with the
 * administrator's kubeconfig. containerd takes it up by itself, and pods that are made from then on
 * get what their annotation asks for.
 */
export function addMultus(settings: NodeSettings, program: string): void {
  const { adminKubeconfig, folder } = settings;
  symlinkSync(program, join(folder, "plugins", "multus"));
  const config = {
    ...{ cniVersion: "0.4.0", name: "multus", type: "multus", logLevel: "error" },
    ...{ kubeconfig: adminKubeconfig, binDir: join(folder, "plugins") },
    ...{ confDir: join(folder, "multus"), cniDir: join(folder, "multus-state") },
    delegates: [network(settings)],
  };
  // containerd takes the first of the folder.
  writeFileSync(join(folder, "cni", "00-multus.conf"), JSON.stringify(config));
}

/**
 * The first process of the node: it keeps what is mounted to itself, and gives kubelet files of its
 * own for sysctls that are the whole machine's and that it insists on.
 */
const INIT = `set -eu
folder=$1
mount --make-rprivate /
# Containers may pass mounts on among themselves.
mount --make-rshared /
for path in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$path"; done
mkdir -p /var/lib/kubelet "$folder/kubelet"
mount --bind "$folder/kubelet" /var/lib/kubelet
for pair in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 \\
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$folder/sysctl/\${pair%=*}
  mkdir -p "\${file%/*}"
  echo "\${pair#*=}" >"$file"
  mount --bind "$file" "/proc/sys/\${pair%=*}"
done
echo 1 >/proc/sys/net/ipv4/ip_forward
# So that a Service's answer to a pod on the same bridge passes the translation again.
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
touch "$folder/ready"
trap exit TERM INT
while :; do sleep 3600 & wait $!; done
`;

function containerd({ folder, pauseImage }: NodeSettings): string {
  return `version = 2
root = "${folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  # Where root lacks CAP_SYS_RESOURCE, runc cannot lower oom_score_adj.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${folder}/plugins"
    conf_dir = "${folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
}

function kubelet(settings: NodeSettings): object {
  const { folder, address, controlGroup, certificate, key, authority } = settings;
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address,
    healthzPort: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: authority },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: certificate,
    tlsPrivateKeyFile: key,
    containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
    cgroupDriver: "cgroupfs",
    cgroupRoot: controlGroup,
    failCgroupV1: false,
    failSwapOn: false,
    clusterDomain: "cluster.local",
    clusterDNS: [address],
    // Pods do not inherit the machine's name server.
    resolvConf: "",
    podLogsDir: join(folder, "pods"),
    volumePluginDir: join(folder, "volume-plugins"),
    evictionHard: {
      "memory.available": "100Mi",
      "nodefs.available": "1%",
      "imagefs.available": "1%",
      "nodefs.inodesFree": "1%",
    },
    imageGCHighThresholdPercent: 100,
    imageMaximumGCAge: "0s",
    shutdownGracePeriod: "0s",
  };
}

function kubeProxy({ pods, proxyKubeconfig }: NodeSettings): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "nftables",
    clientConnection: { kubeconfig: proxyKubeconfig },
    clusterCIDR: pods,
    metricsBindAddress: "127.0.0.1:10249",
    // The table's size is the whole machine's: it is left as it is.
    conntrack: {
      ...{ maxPerCore: 0, min: 0 },
      ...{ tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
    },
  };
}

function network({ folder, pods }: NodeSettings): object {
  const ipam = {
    type: "host-local",
    ranges: [[{ subnet: pods }]],
    routes: [{ dst: "0.0.0.0/0" }],
    dataDir: join(folder, "addresses"),
  };
  const bridge = { type: "bridge", bridge: "cni0", isGateway: true, ipMasq: true };
  return {
    cniVersion: "0.4.0",
    name: "pods",
    plugins: [
      { ...bridge, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

function nameServer({ address, adminKubeconfig }: NodeSettings): string {
  return `.:53 {
  bind ${address}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${adminKubeconfig}
  }
}
`;
}
