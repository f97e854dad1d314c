package isolation

var networkProbes = []Probe{
	{
		Name: "network-loopback", Group: "network", Title: "Reach a service on the host's 127.0.0.1",
		About:  "Connects to a server that listens on the host's loopback device alone, and tells it a secret word.",
		Source: "network_namespaces(7)",
	},
	{
		Name: "network-gateway", Group: "network", Title: "Reach a service that listens on all of the host's addresses",
		About:  "Connects to where its packets for the rest of the world go, which may be the host, and tells a server there a secret word. Networks of containers allow that by default.",
		Source: "network_namespaces(7), route(8)",
	},
	{
		Name: "network-abstract", Group: "network", Title: "Reach a UNIX socket of the host that is no file",
		About:  "Connects to a socket that has a name and no file. The walls around the files do not hold it up: only the network namespace does.",
		Source: "unix(7) on abstract sockets",
	},
	{
		Name: "network-socket-file", Group: "network", Title: "Reach a UNIX socket of the host that is a file",
		About:  "Connects to a socket that lies among the host's files, as that of a container engine does.",
		Source: "unix(7)",
	},
	{
		Name: "network-setns", Group: "network", Title: "Join the network of a process of the host",
		About:  "Joins the network namespace of a thread of the host's by its ID, and talks to a socket that is there alone.",
		Source: "setns(2), network_namespaces(7)",
	},
	{
		Name: "network-sockets", Group: "network", Title: "List the host's open ports",
		About:  "Reads the kernel's table of TCP sockets, and looks for a server of the host's at a random address and port.",
		Source: "proc_pid_net(5): tcp",
	},
	{
		Name: "network-sniff", Group: "network", Title: "Listen to the host's packets",
		About:  "Listens to all packets on all interfaces, while the host says a secret word to itself over its loopback device.",
		Source: "packet(7); capabilities(7): CAP_NET_RAW",
	},
	{
		Name: "network-spoof", Group: "network", Title: "Send a packet to the host under a false address",
		About:  "Sends a packet whose header it has made itself, with a sender that nobody is, to a port of the host's loopback device.",
		Source: "raw(7); capabilities(7): CAP_NET_RAW",
	},
	{
		Name: "network-bind", Group: "network", Title: "Pose as a service of the host",
		About:  "Takes a port below 1024 at which a program of the host expects a trusted service, and hears the secret word that is meant for that.",
		Source: "ip(7); capabilities(7): CAP_NET_BIND_SERVICE",
	},
	{
		Name: "network-interface", Group: "network", Title: "See an interface of the host",
		About:  "Lists the network interfaces, and looks for one of the host's that has a secret name.",
		Source: "network_namespaces(7), proc_pid_net(5): dev",
	},
	{
		Name: "network-configure", Group: "network", Title: "Change an interface of the host",
		About:  "Gives an interface of the host's, which nobody uses, another maximum size of packets.",
		Source: "netdevice(7); capabilities(7): CAP_NET_ADMIN",
	},
	{
		Name: "network-firewall", Group: "network", Title: "Change the host's firewall",
		About:  "Adds an empty table with a secret name to the firewall, for which the host then looks.",
		Source: "nft(8), netlink(7): NETLINK_NETFILTER",
	},
}
