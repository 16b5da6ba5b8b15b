//! What an action may do with the network if it uses a service: talk to that, and to nobody else; with
//! secrets, effects and staged requests beside. Leaves out classes that have the whole network.

use std::fs::Permissions;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use crate::isolation::{Who, failed_closed};
use crate::support::Workspace;

const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(open("data.txt", "rb").read())
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const CLIENT: &str = r#"
import os, socket, sys, urllib.request
lines = ["answer: " + urllib.request.urlopen(os.environ["URL"], timeout=20).read().decode()]
def attempt(name, act):
    try:
        act()
        lines.append(name + ": open")
    except OSError as error:
        lines.append(name + ": " + type(error).__name__)
def tcp(): socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).close()
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(b"x", ("127.0.0.1", int(sys.argv[2])))
def multipath(): socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", int(sys.argv[1])))
def fast():
    s = socket.socket(); s.sendto(b"x", 0x20000000, ("127.0.0.1", int(sys.argv[1])))
def raw(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
def fixed(): socket.socket().bind(("127.0.0.1", int(sys.argv[3])))
def chosen():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
def unix(): socket.socket(socket.AF_UNIX).connect(sys.argv[4])
def pair(): socket.socketpair()
for act in (tcp, udp, multipath, fast, raw, fixed, chosen, unix, pair): attempt(act.__name__, act)
open("o.txt", "w").write("\n".join(lines) + "\n")
"#;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port can be had").port()
}

fn talk(who: Who, level: &str) -> Option<String> {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let (tcp_port, udp_port) = (tcp.local_addr().expect("one"), udp.local_addr().expect("one"));
    let workspace = Workspace::new();
    let path = workspace.around().join("socket");
    let _unix = UnixListener::bind(&path).expect("a socket can be made");
    std::fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("a mode can be set");
    std::fs::set_permissions(workspace.around(), Permissions::from_mode(0o755)).expect("a mode can be set");
    let spec = format!(
        "partita edition=1\ntool python3 {{ exec python3 }}\ngraph g {{\n  service shop {{\n    tools python3\n    \
         input server.py data.txt\n    run python3 server.py\n    port http\n    ready http=\"/\" within=\"60s\"\n  }}\n  \
         node ask {{\n    uses shop\n    input client.py\n    env URL=\"{{{{ shop.http }}}}/a\"\n    \
         run python3 client.py \"{}\" \"{}\" \"{}\" \"{}\"\n    output o.txt\n  }}\n}}\n",
        tcp_port.port(),
        udp_port.port(),
        free_port(),
        path.display()
    );
    let workspace = workspace
        .file("partita.kdl", &spec)
        .file("server.py", SERVER)
        .file("client.py", CLIENT)
        .file("data.txt", "hello");
    who.own(&workspace);
    let outcome = who.run(&workspace, &["run", "g", "--isolation", level]);
    if failed_closed(&outcome, level) {
        return None;
    }
    outcome.ok();
    Some(workspace.read("out/g/ask/o.txt"))
}

/// Whether the kernel can judge connections by their port (Linux 6.7).
fn judges_ports() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(7))
}

#[test]
fn who_uses_a_service_reaches_that_and_nothing_else() {
    if !judges_ports() {
        return;
    }
    for who in [Who::Self_, Who::Nobody] {
        for level in ["full", "landlock"] {
            if !who.is_possible() {
                continue;
            }
            let Some(text) = talk(who, level) else { continue };
            let kept = "PermissionError";
            // A root of its own has no such path.
            let unix = if level == "full" { "FileNotFoundError" } else { kept };
            let expected = format!(
                "answer: hello\ntcp: {kept}\nudp: {kept}\nmultipath: {kept}\nfast: {kept}\nraw: {kept}\nfixed: \
                 {kept}\nchosen: open\nunix: {unix}\npair: open\n"
            );
            assert_eq!(text, expected, "{level} as {who:?}");
        }
    }
}

#[test]
fn without_isolation_the_same_attempts_get_through() {
    let text = talk(Who::Self_, "none").expect("there is always none");
    assert!(text.starts_with("answer: hello\ntcp: open\nudp: open\n"), "{text}");
}

#[test]
fn secrets_and_effects_work_in_a_sandbox() {
    let spec = r#"partita edition=1
tenant acme {
    secret token from=env key=TOKEN
}
recipe send {
    param token type=string
    step send tool=sh class=effect {
        arg -c "test -n \"$KEY\" && echo $KEY >&2; echo $PARTITA_IDEMPOTENCY_KEY > key.txt; pwd >> key.txt"
        env KEY=(var)token
        output sent path="key.txt"
    }
}
graph g tenant=acme {
    node push recipe=send {
        with token=(secret)token
    }
}
"#;
    let workspace = Workspace::with_spec(spec);
    let outcome = workspace.partita(&["run", "g", "--isolation", "full"]).env("TOKEN", "a-secret-of-mine").run();
    if failed_closed(&outcome, "full") {
        return;
    }
    outcome.ok();
    let text = workspace.read("out/g/push/send/key.txt");
    let (key, place) = text.split_once('\n').expect("two lines");
    assert_eq!((key.len(), place), (64, "/build/work\n"));
    workspace.run(&["log"]).ok().prints("[secret token]");
}

#[test]
fn agents_and_routed_tools_work_in_a_sandbox() {
    let routing = Workspace::copy_of("examples/routing");
    let outcome = routing.run(&["run", "routing", "routing/summary", "--isolation", "full"]);
    if !failed_closed(&outcome, "full") {
        assert_eq!(outcome.ok().counts(), [5, 0, 0, 0, 0]);
    }
}
