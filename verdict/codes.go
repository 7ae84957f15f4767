package verdict

// Code describes a finding code for those who meet it: the title is what the
// finding is, the meaning what follows from it.
type Code struct {
	Code    string // "DL001"
	Level   Level  // the usual one; a finding's own level prevails
	Title   string // a short phrase, lower case, no final period
	Meaning string // one or two plain sentences
}

// Codes lists all finding codes in order. Their numbers are a contract: one is
// never given to another finding.
var Codes = []Code{
	{"DL001", Error, "forwarding loop: a probe came back through this upstream",
		"A query that was sent to this upstream alone arrived where the server itself will listen. Once the server runs, each query of this kind goes round until something gives out."},
	{"DL002", Error, "self-forward: the upstream is an address the server itself will serve on",
		"The server would forward to its own socket and answer itself with a new query, without end."},
	{"DL003", Warning, "loopback nameserver",
		"A loopback address means whoever reads the file: on the host it is a local resolver, in a container or pod it is the container or pod itself."},
	{"DL004", Warning, "the upstream is one of this host's own addresses",
		"What serves at this address is this host. If it forwards to the new server, or the new server takes over the address, queries go round."},
	{"DL005", Warning, "unspecified address",
		"0.0.0.0 and :: name no server. The C library and the kernel take them for the local host, other readers for nothing at all."},
	{"DL006", Warning, "cluster DNS: the nameserver is the cluster's DNS service itself",
		"The file is that of a pod with dnsPolicy ClusterFirst. A cluster's DNS server that forwards to it forwards to itself, sooner or later."},
	{"DL007", Warning, "no answer: refused, unreachable, or silent",
		"The upstream gave no usable answer, so nothing is known of where its queries go, and the server could not use it now."},
	{"DL008", Note, "a query type is filtered by this upstream",
		"The upstream answers other types, which were used instead. Its verdict rests on those."},
	{"DL009", Warning, "the stand-in could listen on only part of its addresses",
		"A probe that came home at one of the other addresses would not have been seen, and the server itself cannot bind there either."},
	{"DL010", Error, "server blocks of one configuration forward to each other in a circle",
		"A query that enters one of these blocks is handed round between them and never leaves."},
	{"DL011", Warning, "the file lists no nameserver, or more than are used",
		"With none, the C library asks the local host; beyond the third, it asks none of the rest. Other readers do otherwise."},
	{"DL012", Note, "the upstream answers over one of UDP and TCP only",
		"The other transport was asked and gave no usable answer, so it takes the verdict of the one that did."},
	{"DL013", Note, "chain: this upstream is another block of the same server",
		"The query passes through the server twice and then leaves it. That is no loop, and often meant so."},
	{"DL014", Note, "not probed",
		"Nothing could be sent to this upstream: it is a placeholder, a name that does not resolve, or is reached in a way that is not spoken here."},
	{"DL015", Warning, "another DNS server is already listening here at port 53",
		"The stand-in listens elsewhere, so a loop through the server at port 53 cannot be seen from here."},
	{"DL016", Warning, "questions that nobody explains arrived while an upstream was probed",
		"They are none of the probes' names. An upstream may rewrite names on the way, and a loop may hide behind that."},
	{"DL017", Error, "the file that would be handed on is missing, or hands on the local host",
		"Pods get their nameservers from this file. Where it is missing or empty they get none, or the pod itself."},
	{"DL018", Warning, "a line that its readers skip or misread",
		"What was written is not what is used: the line has no effect, or another one than it seems to have."},
}
