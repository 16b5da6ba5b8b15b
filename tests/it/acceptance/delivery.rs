//! `delivery.kdl`: a service, browser tests against it, a measurement by capability, gates, and a signed bundle.

use super::{Accepted, python};

fn delivery() -> Accepted {
    let accepted = Accepted::new("delivery.kdl")
        .script("node", "node.py")
        .script("playwright", "playwright.sh")
        .script("lighthouse", "lighthouse.sh");
    let Accepted { workspace } = accepted;
    let workspace = workspace
        .script("tools/agent.sh", "#!/bin/sh\nexit 1\n")
        .script("tools/pagespeed.sh", "#!/bin/sh\nexit 1\n")
        .file("tests/auv-0005.spec.ts", "test('checkout')\n");
    Accepted { workspace }
}

#[test]
fn it_is_delivered_and_verified() {
    if !python() {
        return;
    }
    let delivery = delivery();
    let checked = delivery.partita(&["check"]).run().ok();
    assert_eq!((checked.stdout.as_str(), checked.stderr.as_str()), ("", ""));
    let plan = delivery.partita(&["plan", "AUV-0005"]).run().ok();
    plan.prints("route web.perf-audit for B7.rapid_builder: tool lighthouse (primary)")
        .prints("not pagespeed: agent `B7.rapid_builder` may not use it")
        .prints("service shop");
    delivery.partita(&["key", "generate", "delivery"]).run().ok();
    let delivered = delivery.partita(&["deliver", "AUV-0005"]).run().ok();
    let delivered = delivered.says("serve service shop is ready").says("verified: ");
    assert_eq!(delivered.counts(), [4, 0, 0, 0, 0]);
    let workspace = &delivery.workspace;
    let zip = "out/bundles/AUV-0005-0.0.1.zip";
    delivery.partita(&["verify", zip]).run().ok().prints("accepted");
    assert!(workspace.read("out/AUV-0005/perf/report.json").contains("0.97"));
    assert_eq!(workspace.read("out/AUV-0005/ui/run/screenshots/checkout/page.png"), "<h1>Checkout</h1>\n");

    // Again: nothing runs, no service starts, and the bytes are the same.
    let before = workspace.bytes(zip);
    let again = delivery.partita(&["deliver", "AUV-0005"]).run().ok();
    assert_eq!(again.counts(), [0, 4, 0, 0, 0]);
    assert!(!again.stderr.contains("serve service"), "{}", again.stderr);
    assert!(workspace.bytes(zip) == before, "the bundle is a function of what went in");
}

#[test]
fn a_page_that_is_too_slow_is_not_delivered() {
    if !python() {
        return;
    }
    let delivery = delivery();
    delivery.partita(&["key", "generate", "delivery"]).run().ok();
    let slow = delivery.workspace.read("../bin/lighthouse").replace("0.97", "0.89");
    delivery.workspace.write("../bin/lighthouse", slow);
    let refused = delivery.partita(&["deliver", "AUV-0005"]).run().expect(11);
    refused.says("performance score under 0.9").says("report.categories.performance.score is 0.89");
    assert!(!delivery.workspace.has("out/bundles"), "nothing is bundled");
}
