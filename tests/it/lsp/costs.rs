//! What an editor is told of costs: the most that nodes and graphs cost in a run, and who serves. Leaves out how that is
//! found: see `routing`.

use serde_json::{Value, json};

use super::client::{Client, position};
use crate::support::Workspace;

const ROOT: &str = r#"partita edition=1

tool painter {
    exec "paint.sh"
    provides picture
    cost usd="0.10" per=call
}
capability picture {
    accepts of type=string
    returns file type=artifact.file
    candidate painter
}

graph gallery {
    node wall capability=picture {
        for-each what {
            - sea
            - sky
            - sun
        }
        with of=(var)what
    }
    node door capability=picture {
        with of=door
    }
    node sign {
        write open
        output sign.txt
    }
}
"#;

#[test]
fn costs_stand_beside_nodes_and_graphs() {
    let workspace = Workspace::new().file("partita.kdl", ROOT).file("paint.sh", "#!/bin/sh\n");
    let mut client = Client::new(&workspace, json!({}));
    client.open("partita.kdl", ROOT);
    let said = client.diagnostics("partita.kdl");
    assert!(said.iter().all(|item| item["severity"] != 1), "the example is right: {said:?}");
    let whole = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    let answer = client.of("partita.kdl", "inlayHint", json!({"range": whole}));
    let hints: Vec<(u64, &str)> = answer
        .as_array()
        .expect("hints are a list")
        .iter()
        .map(|hint| (hint["position"]["line"].as_u64().expect("a line"), hint["label"].as_str().expect("a text")))
        .collect();
    let line = |piece: &str| ROOT[..ROOT.find(piece).expect("it is there")].matches('\n').count() as u64;
    let (graph, wall, door) = (line("graph gallery"), line("node wall"), line("node door"));
    assert_eq!(hints, [(graph, "≤ $0.40"), (wall, "×3"), (wall, "≤ $0.30"), (door, "≤ $0.10")]);
    let mut hover = |piece: &str| {
        let answer: Value = client.at("partita.kdl", "hover", position(ROOT, piece, 0));
        answer["contents"]["value"].as_str().expect("there is something to say").to_owned()
    };
    let wall = hover("wall capability");
    assert!(wall.contains("Served by: tool painter (primary), at most $0.10"), "{wall}");
    assert!(wall.contains("Costs at most $0.30 in a run"), "{wall}");
    assert!(hover("gallery {").contains("Costs at most $0.40 in a run"));
    assert!(!hover("sign {").contains("Costs"), "what is free is not spoken of");
    assert_eq!(client.shut_down(), 0);
}
