//! The codes of what goes wrong with a store, a history, a ledger or a record of spending, with what each means and what to do.
//! Leaves out the wording of single cases.

/// Every code, what it means, and what to do.
pub const CODES: &[(&str, &str, &str)] = &[
    (
        "S0101",
        "a file of it cannot be read or written",
        "Look at the path and the reason: room, permissions. `--store DIR` and `--state DIR` name other places.",
    ),
    (
        "S0102",
        "its index, or a history, cannot be read or written",
        "What is damaged is set aside by the next run. Or delete the store: nothing but time is lost, as results are made anew.",
    ),
    (
        "S0103",
        "the folder is not a store",
        "Name an empty folder, one that is not there yet, or a store: `--store DIR`.",
    ),
    ("S0104", "it was made by a newer version", "Use that version, or another store: `--store DIR`."),
    (
        "S0105",
        "it lies on a network file system, where an index cannot be kept",
        "Name a folder of this machine: `--store DIR`.",
    ),
    (
        "S0106",
        "another process has kept it busy for too long",
        "Wait for it, or end it: `partita doctor` and `ps` say what runs.",
    ),
    ("S0107", "a defect of Partita stopped its work on it", "Run again, and report the message before this one."),
    (
        "S0108",
        "the ledger of effects cannot be read",
        "It says which effects were done, so it is never thrown away unasked: move it aside only when you know what was done.",
    ),
    (
        "S0109",
        "what tenants have spent cannot be read",
        "It says how much is left of their budgets, so it is never thrown away unasked: move it aside, and all of them are whole again.",
    ),
];
