//! Documents as tests: fenced blocks of Markdown, the commands of a console block, and the comparison
//! of what was shown with what came. Leaves out running them.
//!
//! Rules for authors, which CONTRIBUTING.md repeats:
//!
//! * A line `$ COMMAND` of a `console` block is run by `sh`; `> ` continues it. What follows up to the
//!   next command is its output, standard error included. Nothing shown means that it does not matter.
//! * `...` in shown output stands for anything in that line, and as a line of its own for any lines.
//! * `(exit status N)` as the last line of an output is the status; without it the status must be 0.
//! * `console,ignore` is not run; the comment before the block says why.
//! * `sh,run` is run whole as a script, which must succeed.
//! * A comment `<!-- needs: NAME… -->` names tools without which a document is not followed.
//! * A comment `<!-- test: COMMAND -->` is run before the next block; readers do not see it.
//! * `kdl,file=NAME` is written to NAME; `kdl,fails` and `kdl,ignore` need not compile, `kdl,trust` is a
//!   trust policy.

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the opening fence, from 1.
    pub(crate) line: usize,
    /// The first word of the info string.
    pub(crate) language: String,
    /// The rest of the info string, at commas.
    pub(crate) marks: Vec<String>,
    /// What stands between the fences.
    pub(crate) text: String,
    /// The text of the last comment before it, if nothing but that stands between.
    pub(crate) comment: Option<String>,
    /// Commands of `test:` comments since the block before.
    pub(crate) before: Vec<String>,
}

impl Block {
    /// Whether it is marked by a word.
    pub(crate) fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|known| known == mark)
    }

    /// The value of a mark `NAME=VALUE`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.marks.iter().find_map(|mark| mark.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The fenced blocks of a document, in order.
pub(crate) fn blocks_of(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    let (mut comment, mut before) = (None, Vec::new());
    let mut fence = String::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(block) = &mut open {
            if line.trim() == fence {
                blocks.extend(open.take());
            } else {
                block.text.push_str(line);
                block.text.push('\n');
            }
        } else if line.starts_with("```") {
            let ticks = line.chars().take_while(|c| *c == '`').count();
            fence = "`".repeat(ticks);
            let mut info = line[ticks..].split(',').map(|part| part.trim().to_owned());
            open = Some(Block {
                line: index + 1,
                language: info.next().unwrap_or_default(),
                marks: info.collect(),
                text: String::new(),
                comment: comment.take(),
                before: std::mem::take(&mut before),
            });
        } else if let Some(first) = line.trim().strip_prefix("<!--") {
            let mut text = first.to_owned();
            while !text.contains("-->") {
                let Some((_, line)) = lines.next() else { break };
                text.push('\n');
                text.push_str(line);
            }
            let text = text.split("-->").next().unwrap_or_default().trim().to_owned();
            match text.strip_prefix("test:") {
                Some(command) => before.push(command.trim().to_owned()),
                None => comment = Some(text),
            }
        } else if !line.trim().is_empty() {
            comment = None;
        }
    }
    blocks
}

/// A command of a console block, with what it is to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The command, of one line or more.
    pub(crate) command: String,
    /// What it is to print; nothing if that does not matter.
    pub(crate) output: Vec<String>,
    /// The exit status it must have.
    pub(crate) status: i32,
}

/// The commands of a console block.
pub(crate) fn steps_of(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: Vec::new(), status: 0 });
            continue;
        }
        let Some(step) = steps.last_mut() else { panic!("`{line}` stands before any command") };
        if let Some(more) = line.strip_prefix("> ").filter(|_| step.output.is_empty()) {
            step.command.push('\n');
            step.command.push_str(more);
        } else if let Some(status) = line.strip_prefix("(exit status ").and_then(|rest| rest.strip_suffix(')')) {
            step.status = status.parse().expect("an exit status is a number");
        } else {
            step.output.push(line.to_owned());
        }
    }
    for step in &mut steps {
        while step.output.last().is_some_and(|line| line.trim().is_empty()) {
            step.output.pop();
        }
    }
    steps
}

/// Whether lines are as shown: `...` stands for any text in a line, and alone for any lines.
pub(crate) fn matches(shown: &[String], lines: &[&str]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return lines.iter().all(|line| line.trim().is_empty());
    };
    if first.trim() == "..." {
        return (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]));
    }
    lines
        .split_first()
        .is_some_and(|(line, more)| matches_line(first.trim_end(), line.trim_end()) && matches(rest, more))
}

fn matches_line(shown: &str, line: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = parts.next().and_then(|head| line.strip_prefix(head)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}
