/**
 * The kinds of fairlead.dev as TypeScript, made from the CustomResourceDefinitions beside this file
 * by `node crds/generate.ts`: do not edit. They describe a validated object, in which every
 * default is filled in, so a field with a default is never absent.
 */

/**
 * One segment (Bridged) or one routed link (Routed) carried over OpenVPN.
 */
export interface VpnTunnel {
  apiVersion: "fairlead.dev/v1alpha1";
  kind: "VpnTunnel";
  /**
   * Name, namespace and what else Kubernetes keeps about every object.
   */
  metadata: {
    name: string;
    namespace: string;
    labels?: {
      [k: string]: string;
    };
    annotations?: {
      [k: string]: string;
    };
    [k: string]: unknown;
  };
  /**
   * What the tunnel shall be.
   */
  spec: {
    /**
     * Bridged carries Ethernet frames (tap), so every protocol of the segment works; Routed carries IP packets (tun). Cannot change while the tunnel exists.
     */
    mode: "Bridged" | "Routed";
    /**
     * We connect to a server. Exactly one of dial and listen.
     */
    dial?: {
      /**
       * The server's addresses, all of them tried. Absent: those of the profile.
       */
      remotes?: {
        /**
         * Name or IP address of the server.
         */
        host: string;
        /**
         * Port of the server.
         */
        port: number;
      }[];
      /**
       * Listed tries the remotes from the top, Random in a new order each time. Absent: Random if the profile says remote-random, else Listed.
       */
      order?: "Listed" | "Random";
      /**
       * The client profile (.ovpn) with inline blocks, as the server's administrator gave it.
       */
      profileSecretRef: {
        /**
         * Name of the Secret in the same namespace.
         */
        name: string;
        /**
         * Key inside the Secret.
         */
        key: string;
      };
    };
    /**
     * We are the server. Exactly one of dial and listen.
     */
    listen?: {
      /**
       * Port to listen on: UDP, or TCP where transport.protocol is Tcp.
       */
      port: number;
      /**
       * Where peers reach this server, written into their profiles as remotes. In the cluster, absent means the addresses of the service.
       */
      advertise?: {
        /**
         * Name or IP address, as peers see it.
         */
        host: string;
        /**
         * Port as peers see it. Absent: listen.port.
         */
        port?: number;
      }[];
      /**
       * In which order peers try the advertised addresses.
       */
      order: "Listed" | "Random";
      /**
       * The Service in front of the gateway, in the cluster.
       */
      service?: {
        /**
         * Kind of Service, or None for no Service at all.
         */
        type: "LoadBalancer" | "NodePort" | "ClusterIP" | "None";
        /**
         * Fixed node port.
         */
        nodePort?: number;
        /**
         * Annotations for the Service, such as a load balancer's settings.
         */
        annotations?: {
          [k: string]: string;
        };
      };
    };
    /**
     * Segment connects many peers through a learning switch; TwoPeer carries everything straight across, with nothing to learn.
     */
    link: "Segment" | "TwoPeer";
    /**
     * The UplinkSet to use. Absent: the default route.
     */
    uplinks?: {
      /**
       * Name of an UplinkSet in the same namespace.
       */
      name: string;
    };
    /**
     * The program (in the cluster, the pod) that holds the tunnel.
     */
    gateway?: {
      /**
       * Pods, one of them active and the others warm. Absent: 2.
       */
      replicas?: number;
      /**
       * Pod uses the pod network, Host the node's own. Absent: Pod.
       */
      network?: "Pod" | "Host";
      /**
       * Join the segment to an interface of this machine.
       */
      bridge?: {
        /**
         * An existing bridge or network card.
         */
        interface: string;
      };
      /**
       * Labels of the nodes that may run the gateway.
       */
      nodeSelector?: {
        [k: string]: string;
      };
      /**
       * As in a pod.
       */
      tolerations?: {
        /**
         * Taint key.
         */
        key?: string;
        /**
         * Exists or Equal.
         */
        operator?: "Exists" | "Equal";
        /**
         * Taint value.
         */
        value?: string;
        /**
         * Taint effect.
         */
        effect?: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
        /**
         * How long the taint is tolerated.
         */
        tolerationSeconds?: number;
      }[];
      /**
       * As in a container.
       */
      resources?: {
        /**
         * What the gateway is sure to get.
         */
        requests?: {
          [k: string]: number | string;
        };
        /**
         * What the gateway may use at most.
         */
        limits?: {
          [k: string]: number | string;
        };
      };
    };
    /**
     * Who is who on the segment.
     */
    addresses?: {
      /**
       * The segment's IPv4 network.
       */
      segment?: string;
      /**
       * First and last IPv4 address given to peers without a fixed one.
       */
      pool?: string;
      /**
       * Our own IPv4 address on the segment. Absent: none.
       */
      gateway?: string;
      /**
       * The segment's IPv6 network.
       */
      segment6?: string;
      /**
       * First and last IPv6 address given to peers without a fixed one.
       */
      pool6?: string;
      /**
       * Our own IPv6 address on the segment. Absent: none.
       */
      gateway6?: string;
      /**
       * Ask the segment's own DHCP server for the addresses of workloads; IPv6 by router advertisements alone, DHCPv6 is not asked.
       */
      dhcp?: boolean;
    };
    /**
     * Programs that get an interface on the segment. Run by `fairlead up`, this machine is the workload.
     */
    workloads?: {
      /**
       * Pods that get an interface. Absent: none.
       */
      podSelector?: {
        /**
         * Labels and values that all must match.
         */
        matchLabels?: {
          [k: string]: string;
        };
        /**
         * Conditions that all must hold.
         */
        matchExpressions?: {
          /**
           * Label.
           */
          key: string;
          /**
           * How the label is compared.
           */
          operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
          /**
           * Values to compare with.
           */
          values?: string[];
        }[];
      };
      /**
       * Name of the interface in the workload. Absent: fl- and the tunnel's name.
       */
      interface?: string;
      /**
       * Hold starts the program only once a frame has crossed, Start at once.
       */
      onTunnelDown: "Hold" | "Start";
    };
    /**
     * Multicast on the segment.
     */
    multicast: {
      /**
       * Multicast networks routed into the segment, in workloads only. An empty list routes none.
       */
      routes: string[];
      /**
       * Send a group only where it was joined (IGMP, MLD). Absent: true where we listen, false where we dial.
       */
      snooping?: boolean;
      /**
       * Auto asks for memberships only when nobody else on the segment does. Absent: Auto where we listen, Never where we dial. IGMP is asked from addresses.gateway, else from the last free address of addresses.pool; without either, IPv4 groups are flooded until somebody else asks.
       */
      querier?: "Auto" | "Always" | "Never";
      /**
       * What happens to groups that nobody has joined. Absent: Flood. A group that all have left goes nowhere.
       */
      unknownGroups?: "Flood" | "Drop";
      /**
       * Send groups to the peers and this host where they joined them, as an IGMP and MLD proxy (Routed only, where we listen). Absent: groups are not routed.
       */
      proxy?: boolean;
    };
    /**
     * What each peer may send to everybody, such as 10Mbit. Absent, where we listen: 10Mbit of broadcast, 10Mbit to unknown stations, any multicast.
     */
    stormLimits?: {
      /**
       * Limit of broadcast.
       */
      broadcast?: string;
      /**
       * Limit of unicast to unknown stations.
       */
      unknownUnicast?: string;
      /**
       * Limit of multicast.
       */
      multicast?: string;
    };
    /**
     * How packets travel.
     */
    transport: {
      /**
       * IP bytes in one inner frame. Auto is 1500 where we listen and the server's where we dial; a routed tunnel then follows what its paths take.
       */
      mtu: number | "Auto";
      /**
       * Largest UDP payload, as OpenVPN's fragment. Absent: no fragmenting.
       */
      fragmentBytes?: number;
      /**
       * Largest UDP payload that TCP connections inside are told to fill, as OpenVPN's mssfix; 0 leaves them alone.
       */
      mssFixBytes: number;
      /**
       * Copy the inner packet's DSCP to the outer one.
       */
      copyDscp?: boolean;
      /**
       * What carries the packets. Tcp is for networks that block UDP: what is lost is sent again in order, so everything behind it waits. A dialling tunnel without this field follows its profile, else Udp.
       */
      protocol?: "Udp" | "Tcp";
      /**
       * How late a packet may come.
       */
      replayWindow: {
        /**
         * Packets, or Auto: as many as the rate and the measured skew ask for.
         */
        packets: number | "Auto";
        /**
         * Seconds.
         */
        seconds: number;
      };
      /**
       * How a dead peer is noticed.
       */
      keepalive: {
        /**
         * Seconds of silence before a ping.
         */
        intervalSeconds: number;
        /**
         * Seconds of silence before the peer counts as gone.
         */
        timeoutSeconds: number;
      };
      /**
       * Seconds between new session keys; 0 changes them only when their limit is near.
       */
      renegotiateSeconds: number;
      /**
       * Bytes of both directions after which a peer gets a new session key; 0 leaves it to time and the cipher's limit.
       */
      renegotiateBytes: number;
      /**
       * The same in packets.
       */
      renegotiatePackets: number;
    };
    /**
     * Keys, ciphers and whom to believe.
     */
    security: {
      /**
       * Ciphers for data, most wanted first.
       */
      dataCiphers: ("AES-256-GCM" | "AES-128-GCM" | "CHACHA20-POLY1305")[];
      /**
       * What hides the control channel from strangers (of a listening tunnel; a dialling one follows its profile).
       */
      controlWrap: "TlsCryptV2" | "TlsCrypt" | "TlsAuth" | "None";
      /**
       * Oldest TLS version accepted.
       */
      tlsVersionMin: "1.2" | "1.3";
      /**
       * Your own authority: a Secret with tls.crt and tls.key (P-256), and ca.crt where another authority stands for it. Absent: Fairlead keeps one of its own. Beside issuerRef: a Secret with the root of the issuer as ca.crt, where the issuer does not give it.
       */
      caSecretRef?: {
        /**
         * Name of the Secret in the same namespace.
         */
        name: string;
      };
      /**
       * An issuer of cert-manager that signs the certificates of the gateway and of every peer; in a cluster, where the chart's certManager.enabled is set. Its key stays with it. Of a listening tunnel.
       */
      issuerRef?: {
        /**
         * Name of the issuer.
         */
        name: string;
        /**
         * Kind of the issuer.
         */
        kind: "Issuer" | "ClusterIssuer";
        /**
         * Group of the issuer.
         */
        group: string;
      };
      /**
       * List of revoked certificates.
       */
      crlSecretRef?: {
        /**
         * Name of the Secret in the same namespace.
         */
        name: string;
        /**
         * Key inside the Secret.
         */
        key: string;
      };
      /**
       * Dialling: a Secret with username and password, for a server that asks for them. Listening: a Secret whose users holds a line for each user, as fairlead password prints it; peers then need one of them beside their certificate.
       */
      userPassSecretRef?: {
        /**
         * Name of the Secret in the same namespace.
         */
        name: string;
      };
      /**
       * Path of a unix socket on which a program of yours decides on usernames and passwords of peers; in place of userPassSecretRef.
       */
      userPassSocket?: string;
      /**
       * Seconds for which a peer that logged in gets tokens in place of its password; 0 for none. One day unless it is set.
       */
      authTokenSeconds?: number;
    };
    /**
     * What is reached through a routed tunnel.
     */
    routes?: {
      /**
       * Networks at the far end that this side may reach.
       */
      toSegment?: string[];
      /**
       * Networks at this side that the far end may reach.
       */
      fromSegment?: string[];
      /**
       * Whether peers reach each other.
       */
      peerToPeer: boolean;
      /**
       * Whether traffic leaves with the gateway's address.
       */
      masquerade: boolean;
    };
  };
  /**
   * What the tunnel is, as last seen.
   */
  status?: {
    /**
     * The generation of the spec that this status is about.
     */
    observedGeneration?: number;
    /**
     * What holds and what does not, each with its reason.
     */
    conditions?: {
      /**
       * Name of the condition.
       */
      type: string;
      /**
       * Whether it holds.
       */
      status: "True" | "False" | "Unknown";
      /**
       * The generation this is about.
       */
      observedGeneration?: number;
      /**
       * When the status last changed.
       */
      lastTransitionTime: string;
      /**
       * One word for programs.
       */
      reason: string;
      /**
       * One sentence for people.
       */
      message: string;
    }[];
    /**
     * The gateway that forwards.
     */
    active?: {
      /**
       * Name of the pod.
       */
      pod?: string;
      /**
       * Name of its node.
       */
      node?: string;
      /**
       * Since when it forwards.
       */
      since?: string;
    };
    /**
     * IP bytes that fit into one frame of the segment.
     */
    mtuBytes?: number;
    /**
     * Peers of the tunnel.
     */
    peers?: {
      /**
       * Connected now.
       */
      connected?: number;
      /**
       * Declared.
       */
      total?: number;
    };
    /**
     * The same figures as text, for kubectl get.
     */
    summary?: {
      /**
       * Connected and declared peers, such as 3/4.
       */
      peers?: string;
      /**
       * Paths that are up and all paths, such as 2/3.
       */
      paths?: string;
      /**
       * Round trip of the best path, such as 11.2ms.
       */
      rtt?: string;
      /**
       * Loss of the best path, such as 0.4%.
       */
      loss?: string;
    };
    /**
     * One entry for each local and remote address in use.
     */
    paths?: {
      /**
       * Name of the uplink.
       */
      uplink?: string;
      /**
       * Our address.
       */
      local?: string;
      /**
       * The other end's address.
       */
      remote?: string;
      /**
       * Whether packets cross.
       */
      state?: "Up" | "Down" | "Unknown";
      /**
       * Round trip in milliseconds.
       */
      rttMs?: number;
      /**
       * Lost probes in percent.
       */
      lossPercent?: number;
      /**
       * Largest UDP payload that crosses.
       */
      mtuBytes?: number;
    }[];
    /**
     * How each uplink of an UplinkSet does.
     */
    uplinks?: {
      /**
       * Name of the uplink.
       */
      name: string;
      /**
       * Whether packets cross.
       */
      state?: "Up" | "Down" | "Unknown";
      /**
       * Our address on it.
       */
      sourceAddress?: string;
      /**
       * Median round trip in milliseconds.
       */
      rttMsP50?: number;
      /**
       * 99th percentile of the round trip in milliseconds.
       */
      rttMsP99?: number;
      /**
       * Lost probes in percent, of the worse direction.
       */
      lossPercent?: number;
      /**
       * Packets that came by it behind later ones that came by it.
       */
      reorderedPackets?: number;
      /**
       * Bytes received.
       */
      receivedBytes?: number;
      /**
       * Bytes sent.
       */
      sentBytes?: number;
      /**
       * Packets that no other uplink brought though others were in use; with policy Duplicate.
       */
      duplicatesSaved?: number;
      /**
       * Copies of packets that had come before.
       */
      duplicatePackets?: number;
      /**
       * Packets that it was the first to bring behind later ones by any uplink.
       */
      latePackets?: number;
      /**
       * Lost packets that parity which came by it brought back.
       */
      fecRecovered?: number;
      /**
       * When the state last changed.
       */
      lastChange?: string;
      /**
       * Why it changed.
       */
      lastChangeCause?: string;
    }[];
    /**
     * When the figures of uplinks were taken. They begin anew with each session.
     */
    uplinksMeasured?: string;
    /**
     * Packets lost for good, though some parity of their block came.
     */
    fecUnrecoverable?: number;
    /**
     * Multicast groups and who joined them.
     */
    groups?: {
      /**
       * Group address.
       */
      group: string;
      /**
       * What is wrong with it, such as nobody sends.
       */
      note?: string;
      /**
       * Who joined it.
       */
      joinedBy?: string[];
    }[];
    /**
     * What happened on the segment, and who was refused: the last of each kind, written at most once a minute. The operator tells each as an event.
     */
    segment?: {
      /**
       * One word for programs, such as LoopShut.
       */
      reason: string;
      /**
       * What happened and what to do.
       */
      note: string;
      /**
       * When it last happened.
       */
      time: string;
    }[];
  };
}

/**
 * Several ways out of a machine, and how a tunnel uses them.
 */
export interface UplinkSet {
  apiVersion: "fairlead.dev/v1alpha1";
  kind: "UplinkSet";
  /**
   * Name, namespace and what else Kubernetes keeps about every object.
   */
  metadata: {
    name: string;
    namespace: string;
    labels?: {
      [k: string]: string;
    };
    annotations?: {
      [k: string]: string;
    };
    [k: string]: unknown;
  };
  /**
   * What the uplinks are and how they are used.
   */
  spec: {
    /**
     * The ways out.
     */
    uplinks: {
      /**
       * Name in status and logs.
       */
      name: string;
      /**
       * The uplink is this interface.
       */
      interface?: string;
      /**
       * The uplink is whatever interface has an address in this network.
       */
      sourceAddress?: string;
      /**
       * The uplink is this network of Multus, as namespace/name or the name alone. In a cluster, with gateway.network Pod.
       */
      network?: string;
      /**
       * Lower is used first.
       */
      priority: number;
      /**
       * Every byte costs: used only when needed.
       */
      metered: boolean;
      /**
       * Its share of the flows with policy Balance where weights differ; else what it carries counts.
       */
      weight: number;
      /**
       * Next hop where it cannot be found out. The uplink gets a routing table of its own.
       */
      gateway?: string;
    }[];
    /**
     * Failover uses the best uplink; Duplicate sends copies over several; Fec adds parity; Balance spreads flows.
     */
    policy: "Failover" | "Duplicate" | "Fec" | "Balance";
    /**
     * How copies are sent.
     */
    duplicate?: {
      /**
       * Copies of each packet.
       */
      copies: number;
      /**
       * DSCP classes that are copied. Absent: everything.
       */
      classes?: string[];
    };
    /**
     * How parity is sent.
     */
    fec?: {
      /**
       * Data packets in one block.
       */
      dataPackets: number;
      /**
       * Parity packets for a full block.
       */
      parityPackets: number;
      /**
       * Milliseconds after which a short block is closed.
       */
      maxDelayMs: number;
      /**
       * Follow the measured loss.
       */
      adaptive: boolean;
    };
    /**
     * How traffic is spread.
     */
    balance?: {
      /**
       * What stays together.
       */
      by: "Flow";
    };
    /**
     * Putting each TCP connection's segments back in order, at either end: what comes ahead of others waits for them. UDP and everything else never waits. Absent: on with policies Duplicate and Fec, off with the others.
     */
    reorder?: {
      /**
       * Milliseconds that a segment waits at most; 0: nothing waits.
       */
      maxDelayMs: number;
      /**
       * What is kept in order.
       */
      per: "Flow";
    };
    /**
     * How uplinks are watched.
     */
    probe: {
      /**
       * Milliseconds between probes.
       */
      intervalMs: number;
      /**
       * Lost probes in a row that mean down.
       */
      downAfter: number;
      /**
       * Answered probes in a row that mean up. Each time it dies within a minute of coming back doubles them, up to 32 times; a minute up takes one back.
       */
      upAfter: number;
      /**
       * Loss of either direction above which an uplink is used only when no other works, until it is below three quarters of that.
       */
      maxLossPercent: number;
      /**
       * Probes over which loss is counted.
       */
      lossWindow: number;
    };
  };
  /**
   * How the uplinks do, for each tunnel that uses them.
   */
  status?: {
    /**
     * The generation of the spec that this status is about.
     */
    observedGeneration?: number;
    /**
     * What holds and what does not, each with its reason.
     */
    conditions?: {
      /**
       * Name of the condition.
       */
      type: string;
      /**
       * Whether it holds.
       */
      status: "True" | "False" | "Unknown";
      /**
       * The generation this is about.
       */
      observedGeneration?: number;
      /**
       * When the status last changed.
       */
      lastTransitionTime: string;
      /**
       * One word for programs.
       */
      reason: string;
      /**
       * One sentence for people.
       */
      message: string;
    }[];
    /**
     * The tunnels that use this set.
     */
    tunnels?: {
      /**
       * Name of the tunnel.
       */
      name: string;
      /**
       * When the figures were taken. They begin anew with each session.
       */
      measured?: string;
      /**
       * Packets lost for good, though some parity of their block came; by which uplink they were sent is not known.
       */
      fecUnrecoverable?: number;
      /**
       * How each uplink does.
       */
      uplinks?: {
        /**
         * Name of the uplink.
         */
        name: string;
        /**
         * Whether packets cross.
         */
        state?: "Up" | "Down" | "Unknown";
        /**
         * Our address on it.
         */
        sourceAddress?: string;
        /**
         * Median round trip in milliseconds.
         */
        rttMsP50?: number;
        /**
         * 99th percentile of the round trip in milliseconds.
         */
        rttMsP99?: number;
        /**
         * Lost probes in percent, of the worse direction.
         */
        lossPercent?: number;
        /**
         * Packets that came by it behind later ones that came by it.
         */
        reorderedPackets?: number;
        /**
         * Bytes received.
         */
        receivedBytes?: number;
        /**
         * Bytes sent.
         */
        sentBytes?: number;
        /**
         * Packets that no other uplink brought though others were in use; with policy Duplicate.
         */
        duplicatesSaved?: number;
        /**
         * Copies of packets that had come before.
         */
        duplicatePackets?: number;
        /**
         * Packets that it was the first to bring behind later ones by any uplink.
         */
        latePackets?: number;
        /**
         * Lost packets that parity which came by it brought back.
         */
        fecRecovered?: number;
        /**
         * When the state last changed.
         */
        lastChange?: string;
        /**
         * Why it changed.
         */
        lastChangeCause?: string;
      }[];
    }[];
  };
}

/**
 * One identity that may connect to a listening tunnel: a testbed box, a laptop, a pod. Deleting it revokes it.
 */
export interface VpnPeer {
  apiVersion: "fairlead.dev/v1alpha1";
  kind: "VpnPeer";
  /**
   * Name, namespace and what else Kubernetes keeps about every object.
   */
  metadata: {
    name: string;
    namespace: string;
    labels?: {
      [k: string]: string;
    };
    annotations?: {
      [k: string]: string;
    };
    [k: string]: unknown;
  };
  /**
   * What the peer shall be.
   */
  spec: {
    /**
     * The tunnel it may connect to. Cannot change.
     */
    tunnel: {
      /**
       * Name of a listening VpnTunnel in the same namespace.
       */
      name: string;
    };
    /**
     * Assigned gives the peer its fixed address or one from the tunnel's pool. None gives it no address: it bridges a LAN whose machines have their own.
     */
    addressing: "Assigned" | "None";
    /**
     * Fixed IPv4 address. Absent: one from the pool.
     */
    address?: string;
    /**
     * Fixed IPv6 address. Absent: one from the IPv6 pool, if there is one.
     */
    address6?: string;
    /**
     * Networks behind the peer (Routed only).
     */
    networks?: string[];
    /**
     * MAC addresses behind the peer that nobody else may claim (Bridged only).
     */
    stations?: string[];
    /**
     * The peer's certificate.
     */
    certificate: {
      /**
       * Days it is valid.
       */
      lifetimeDays: number;
      /**
       * Days before its end when a new one is made.
       */
      renewBeforeDays: number;
    };
  };
  /**
   * What the peer is, as last seen.
   */
  status?: {
    /**
     * The generation of the spec that this status is about.
     */
    observedGeneration?: number;
    /**
     * What holds and what does not, each with its reason.
     */
    conditions?: {
      /**
       * Name of the condition.
       */
      type: string;
      /**
       * Whether it holds.
       */
      status: "True" | "False" | "Unknown";
      /**
       * The generation this is about.
       */
      observedGeneration?: number;
      /**
       * When the status last changed.
       */
      lastTransitionTime: string;
      /**
       * One word for programs.
       */
      reason: string;
      /**
       * One sentence for people.
       */
      message: string;
    }[];
    /**
     * Whether it is connected now.
     */
    connected?: boolean;
    /**
     * Since when.
     */
    since?: string;
    /**
     * The uplink it is reached by.
     */
    uplink?: string;
    /**
     * Where its packets come from.
     */
    sourceAddress?: string;
    /**
     * Its IPv4 address on the segment.
     */
    address?: string;
    /**
     * Its IPv6 address on the segment.
     */
    address6?: string;
    /**
     * Data cipher in use.
     */
    cipher?: string;
    /**
     * Bytes received from it.
     */
    receivedBytes?: number;
    /**
     * Bytes sent to it.
     */
    sentBytes?: number;
    /**
     * Its certificate.
     */
    certificate?: {
      /**
       * SHA-256 of the certificate.
       */
      fingerprint?: string;
      /**
       * When it ends.
       */
      expires?: string;
    };
    /**
     * The Secret with its complete profile.
     */
    profileSecretRef?: {
      /**
       * Name of the Secret.
       */
      name?: string;
      /**
       * Key inside the Secret.
       */
      key?: string;
    };
    /**
     * MAC addresses learnt behind it.
     */
    stations?: string[];
    /**
     * Multicast groups it joined.
     */
    groups?: string[];
  };
}
