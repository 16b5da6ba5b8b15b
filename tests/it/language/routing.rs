//! Routing: who serves what is asked, how it is started, what it costs at most, and what of that a plan
//! carries. Leaves out what is said about mistakes: see `ui`.

use std::collections::BTreeMap;

use partita::base::RelPath;
use partita::diag::Diagnostics;
use partita::lang::{MemoryWorld, compile_for, expand};
use partita::plan::{
    ActionKind, Places, Plan, Privilege, Route, Side, diff, from_json_lines, lower, to_json_lines, to_text,
};

use super::{addrs, arguments, inputs, plan, spec};

/// Two tools for one capability, the second of which costs.
const MAP: &str = r#"
tool good tier=secondary { exec "tools/good.sh"; provides audit; cost usd="0.015" }
tool cheap tier=secondary { exec "tools/cheap.sh"; provides audit; cost usd="0.001" }
tool free { exec "tools/free.sh"; provides audit }
tenant rich { allow-tier primary secondary }
"#;

fn route<'a>(plan: &'a Plan, addr: &str) -> &'a Route {
    let action = plan.action(plan.find(addr).expect("the address is in the plan"));
    action.route.as_ref().expect("the action was routed")
}

fn refused(route: &Route) -> Vec<(&str, &str)> {
    route.rejected.iter().map(|item| (item.candidate.as_str(), item.code.as_str())).collect()
}

fn outputs(plan: &Plan, addr: &str) -> Vec<(String, String)> {
    spec(plan, addr).outputs.iter().map(|output| (output.name.clone(), output.path.to_string())).collect()
}

#[test]
fn tools_are_started_by_the_default_protocol() {
    let plan = plan(
        r#"
        tool audit-tool { exec "tools/audit.sh"; provides audit }
        capability audit {
            accepts page type=artifact.file
            accepts depth type=int default=3
            accepts tags type=list<string> { default a b }
            accepts deep type=bool default=#false
            returns report type=artifact.json
            returns log type=artifact.text
            returns tree type=artifact.dir
            candidate audit-tool
        }
        graph g {
            node page { write x; output page.html }
            node audit capability=audit { with page=(ref)"page.page.html" depth=5 }
            node use { input "r.json" from=(ref)audit.report; copy "r.json"; output out.json }
        }"#,
    );
    let wanted = ["--page", "in/page", "--depth", "5", "--tags", "a", "--tags", "b", "--deep", "false"];
    assert_eq!(arguments(&plan, "g/audit"), wanted);
    assert_eq!(inputs(&plan, "g/audit"), ["in/page = g/page.page.html"]);
    let left = [("log", "log.txt"), ("report", "report.json"), ("tree", "tree")];
    assert_eq!(outputs(&plan, "g/audit"), left.map(|(name, path)| (name.to_owned(), path.to_owned())));
    assert_eq!(spec(&plan, "g/audit").class.word(), "pure");
    assert_eq!(inputs(&plan, "g/use"), ["r.json = g/audit.report"]);
}

#[test]
fn a_block_says_how_a_tool_is_started() {
    let plan = plan(
        r#"
        tool audit-tool {
            exec "tools/audit.sh"
            effects net
            provides audit {
                arg audit "--in={{ page }}" (var)tags
                env DEPTH=(var)depth KEY=(var)key
                output report path="out/{{ depth }}.json"
            }
            needs-secret other
        }
        capability audit {
            accepts page type=artifact.file
            accepts depth type=string
            accepts key type=string
            accepts tags type=list<string> { default a b }
            returns report type=artifact.json
            candidate audit-tool
        }
        tenant acme { secret token from=env key=TOKEN; secret other from=file key="keys/other" }
        graph g tenant=acme {
            node page { write x; output page.html }
            node audit capability=audit { with page=(ref)"page.page.html" depth=deep key=(secret)token }
        }"#,
    );
    assert_eq!(arguments(&plan, "g/audit"), ["audit", "--in=in/page", "a", "b"]);
    let audit = spec(&plan, "g/audit");
    assert_eq!(audit.env, BTreeMap::from([("DEPTH".to_owned(), "deep".to_owned())]));
    let secrets = [("KEY", "token"), ("OTHER", "other")].map(|(var, name)| (var.to_owned(), name.to_owned()));
    assert_eq!(audit.secrets, BTreeMap::from(secrets));
    assert_eq!(outputs(&plan, "g/audit"), [("report".to_owned(), "out/deep.json".to_owned())]);
    assert_eq!(audit.class.word(), "record", "what the world answers is kept, not computed");
    assert_eq!(plan.terms.secrets["other"].key, "keys/other");
}

#[test]
fn the_first_that_may_serve_does_and_the_others_are_told_of() {
    let spec = |graph: &str| {
        format!(
            "{MAP}\ncapability audit {{ candidate good max-usd=\"0.01\"; candidate cheap; candidate free }}\n{graph}"
        )
    };
    // Without a tenant only the primary tier may be used.
    let alone = plan(&spec("graph g { node a capability=audit }"));
    assert_eq!(route(&alone, "g/a").chosen, "free");
    assert_eq!(refused(route(&alone, "g/a")), [("good", "tenant-tier"), ("cheap", "tenant-tier")]);
    // The primary tier comes first, whatever the order of the map.
    let rich = plan(&spec("graph g tenant=rich { node a capability=audit }"));
    assert_eq!(route(&rich, "g/a").chosen, "free");
    assert_eq!(refused(route(&rich, "g/a")), [("good", "max-usd"), ("cheap", "later")]);
    // Why somebody is not chosen is approved with the plan, and changes no key.
    assert_ne!(alone.digest, rich.digest);
    assert_eq!(alone.actions[0].skey, rich.actions[0].skey);
}

#[test]
fn budgets_are_kept_by_all_asks_together() {
    let spec = r#"
        capability audit { candidate good; candidate cheap; candidate dear }
        tool dear tier=secondary { exec "tools/dear.sh"; provides audit; cost usd="0.019" }
        graph g tenant=rich {
            budget usd="0.02"
            node a capability=audit
            node b capability=audit
        }"#;
    let plan = plan(&format!("{MAP}{spec}"));
    assert_eq!((route(&plan, "g/a").chosen.as_str(), route(&plan, "g/b").chosen.as_str()), ("good", "cheap"));
    assert_eq!(refused(route(&plan, "g/b")), [("good", "budget-graph"), ("dear", "later")]);
    assert_eq!(plan.terms.at_most, 16_000);
    assert_eq!(plan.terms.budget, Some(20_000));
}

#[test]
fn a_price_of_a_run_is_counted_once() {
    let plan = plan(
        r#"
        tool flat tier=secondary { exec "tools/flat.sh"; provides one two; cost usd="0.01" per=run; cost usd="0.001" }
        capability one { candidate flat }
        capability two { candidate flat }
        tenant rich { allow-tier secondary }
        graph g tenant=rich {
            budget usd="0.014"
            node a capability=one { retry max=1 }
            node b capability=two
        }"#,
    );
    assert_eq!(plan.terms.at_most, 10_000 + 2_000 + 1_000);
    assert_eq!(route(&plan, "g/a").coalesced, None);
    assert_eq!(route(&plan, "g/b").coalesced.as_deref(), Some("g/a"));
}

#[test]
fn an_agent_gets_a_request_and_leaves_what_is_asked() {
    let plan = plan(
        r#"
        provider local kind=command {
            exec "tools/agent.sh"
            price input="10.00" output="20.00"
            price input="0.10" output="0.20" model=small
            price input="1.00" output="2.00" model=middling
        }
        skill review {
            prompt text="Review {{ diff }} of {{ crate }} by {{ rules.first }}" {
                var diff type=artifact.diff
                var rules type=artifact.json
                var crate type=ident default=core
            }
        }
        agent reviewer provider=local {
            uses review
            allow-capability review.change
            scope "src/**"
            limits tokens=1000 wall="90s"
            model small max-complexity=3
            model middling max-complexity=6
        }
        graph g {
            node patch { write x; output p.diff type=artifact.diff; class=pure }
            node rules { write x; output r.json type=artifact.json }
            node review agent=reviewer capability=review.change complexity=4 {
                with diff=(ref)"patch.p.diff" rules=(ref)"rules.r.json"
                output verdict path="verdict.json" type=artifact.json
                retry max=1
            }
        }"#
        .replace("; class=pure", "")
        .as_str(),
    );
    assert_eq!(addrs(&plan), ["g/patch", "g/review", "g/review/request", "g/rules"]);
    let review = spec(&plan, "g/review");
    assert_eq!(arguments(&plan, "g/review"), ["request.json"]);
    assert_eq!(review.class.word(), "record");
    let taken = ["in/diff = g/patch.p.diff", "in/rules = g/rules.r.json", "request.json = g/review/request.request"];
    assert_eq!(inputs(&plan, "g/review"), taken);
    assert_eq!(plan.action(plan.find("g/review").unwrap()).policy.timeout_ms, Some(90_000));
    let ActionKind::Request { prompt, facts, vars } = &spec(&plan, "g/review/request").kind else {
        panic!("the request is made by an action of its own")
    };
    assert!(prompt.as_ref().is_some_and(|prompt| prompt.starts_with("Review ")));
    assert_eq!(vars.keys().collect::<Vec<_>>(), ["crate", "diff", "rules"]);
    let facts: serde_json::Value = serde_json::from_str(facts).unwrap();
    assert_eq!(facts["outputs"]["verdict"], "verdict.json");
    assert_eq!(facts["variables"]["crate"], "core");
    assert_eq!(facts["artifacts"]["diff"], "in/diff");
    assert_eq!(facts["model"], "middling");
    let route = route(&plan, "g/review");
    assert_eq!(route.at_most, 2 * 2_000, "all tokens at the dearer price, for each attempt");
    assert_eq!(route.estimate.map(|estimate| estimate.tokens), Some(72_000));
}

#[test]
fn each_model_costs_its_own() {
    let plan = plan(
        r#"
        provider hosted kind=http vendor=openai model=small {
            url "https://api.example.org/v1"
            price input="1.00" output="2.00"
            price input="3.00" output="15.00" model=big
        }
        agent writer provider=hosted {
            limits tokens=1000
            model small max-complexity=3
            model big max-complexity=10
        }
        graph g {
            node easy agent=writer complexity=2 { output o }
            node hard agent=writer complexity=9 { output o }
            node unsaid agent=writer { output o }
        }"#,
    );
    for (addr, model, at_most, input) in [
        ("g/easy", "small", 2_000, 1_000_000),
        ("g/hard", "big", 15_000, 3_000_000),
        ("g/unsaid", "small", 2_000, 1_000_000),
    ] {
        assert_eq!((route(&plan, addr).model.as_deref(), route(&plan, addr).at_most), (Some(model), at_most), "{addr}");
        // What is spent is counted at the same price.
        let price = plan.action(plan.find(addr).unwrap()).policy.price;
        assert_eq!(price.map(|price| price.input), Some(input), "{addr}");
    }
    assert_eq!(plan.terms.at_most, 19_000);
}

#[test]
fn a_step_leaves_what_its_recipe_returns() {
    let plan = plan(
        r#"
        provider local kind=command { exec "tools/agent.sh" }
        skill review { prompt text="{{ diff }}" { var diff type=artifact.diff } }
        agent reviewer provider=local { uses review }
        recipe review {
            param patch type=artifact.diff
            returns verdict type=artifact.json
            returns clean type=artifact.diff
            step clean { copy "p"; input "p" from=(var)patch; output clean path="clean.diff" type=artifact.diff }
            step read agent=reviewer { with diff=(ref)clean.clean }
        }
        graph g {
            node patch { write x; output p.diff type=artifact.diff }
            node audit recipe=review { with patch=(ref)"patch.p.diff" }
            node use { input "v" from=(ref)audit.verdict; copy "v"; output v.json }
        }"#,
    );
    assert_eq!(outputs(&plan, "g/audit/read"), [("verdict".to_owned(), "verdict.json".to_owned())]);
    assert_eq!(
        inputs(&plan, "g/audit/read"),
        ["in/diff = g/audit/clean.clean", "request.json = g/audit/read/request.request"]
    );
    assert_eq!(inputs(&plan, "g/use"), ["v = g/audit/read.verdict"]);
}

#[test]
fn the_tenant_of_the_command_line_owns_every_graph() {
    let text = format!(
        "partita edition=1\n{MAP}\ncapability audit {{ candidate good }}\ntenant default {{ allow-tier primary }}\ngraph g {{ node a capability=audit }}"
    );
    let world = MemoryWorld::single(&text);
    let root = [RelPath::new("partita.kdl").unwrap()];
    assert!(compile_for(&world, &root, None).diagnostics.has_errors(), "the default tenant allows one tier");
    let compiled = compile_for(&world, &root, Some("rich"));
    assert!(!compiled.diagnostics.has_errors());
    let mut found = Diagnostics::default();
    let graph = compiled.program.root_graphs()[0];
    let expansion = expand(&compiled.program, graph, &BTreeMap::new(), &mut found).unwrap();
    let plan = lower(&compiled.program, &expansion);
    assert_eq!(plan.terms.tenant.map(|tenant| tenant.name).as_deref(), Some("rich"));
    assert!(compile_for(&world, &root, Some("nobody")).diagnostics.has_errors());
}

/// A plan with a route, terms and a secret.
fn full(limit: &str, first: &str) -> Plan {
    plan(&format!(
        r#"
        tool good tier=secondary {{ exec "tools/good.sh"; provides audit; cost usd="0.015"; needs-secret token }}
        tool other {{ exec "tools/other.sh"; provides audit }}
        tenant rich {{ allow-tier {first}; budget usd="{limit}"; quota cpu=4; secret token from=env key=TOKEN }}
        capability audit {{ candidate good; candidate other }}
        graph g tenant=rich {{ budget usd="1.00"; node a capability=audit complexity=2 }}"#
    ))
}

#[test]
fn a_plan_file_holds_routes_and_terms_and_none_can_be_changed_unseen() {
    let plan = full("5.00", "secondary");
    let written = to_json_lines(&plan);
    assert_eq!(from_json_lines(&written).expect("what was written is read"), plan);
    for (from, to) in [
        ("does not allow the primary tier", "is fine with the primary tier"),
        ("\"at_most\":15000", "\"at_most\":1500"),
        ("\"key\":\"TOKEN\"", "\"key\":\"OTHER\""),
        ("$5.00 per month", "$9.00 per month"),
    ] {
        assert!(written.contains(from), "{written}");
        assert!(from_json_lines(&written.replace(from, to)).is_err(), "{from}");
    }
    let strange = written.replace("\"rejected\"", "\"unheard\":1,\"rejected\"");
    assert!(from_json_lines(&strange).is_err(), "what is not known is refused");
    let text = to_text(&plan);
    for line in
        ["tenant rich, budget $5.00 per month", "route audit: tool good (secondary), at most $0.015", "not other:"]
    {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn changed_routes_secrets_and_budgets_are_privileged() {
    let (old, new) = (full("5.00", "primary"), full("6.00", "secondary"));
    let places = Places::default();
    let side = |plan| Side { plan, places: &places };
    let found = diff(Some(side(&old)), Some(side(&new)));
    let ways: Vec<Privilege> = found.privileged.iter().flat_map(|item| item.ways.iter().map(|(way, _)| *way)).collect();
    for way in [Privilege::Route, Privilege::Secret, Privilege::Budget] {
        assert!(ways.contains(&way), "{way:?} is missing: {ways:?}");
    }
    let same = diff(Some(side(&old)), Some(side(&old)));
    assert!(same.privileged.is_empty() && same.is_empty());
}
