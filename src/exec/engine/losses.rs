//! Blobs that the store lost: whose they are, and what else is lost with them. Leaves out making them again (`sched`).

use crate::base::{Digest, Entry};
use crate::exec::engine::Engine;
use crate::exec::error::{Lost, Trouble};
use crate::exec::sched::producers;
use crate::plan::ActionId;
use crate::store::look_through;

impl Engine<'_> {
    /// Names the producer of a lost blob where only the blob is known; and looks at the workspace
    /// again if that is where it came from.
    pub(in crate::exec) fn attributed(&self, id: ActionId, trouble: Trouble) -> Trouble {
        let Trouble::Lost(lost) = trouble else { return trouble };
        self.levels.distrust(lost.digest);
        if let Some(producer) = lost.producer {
            return self.lost_by(producer, lost);
        }
        for producer in producers(self.plan, id) {
            let outputs = self.made(producer).map(|made| made.outputs).unwrap_or_default();
            if outputs.iter().any(|output| self.holds(&output.entry, lost.digest)) {
                return self.lost_by(producer, lost);
            }
        }
        match self.workspace.reread_blob(lost.digest, lost.corrupt) {
            Ok(()) => Trouble::Lost(lost),
            Err(trouble) => trouble,
        }
    }

    /// A blob is lost that an action made. Where one is damaged others may be: all are looked for now, so that it is
    /// made again once and not once for each.
    fn lost_by(&self, producer: ActionId, lost: Lost) -> Trouble {
        if lost.corrupt {
            for output in self.made(producer).iter().flat_map(|made| made.outputs.iter()) {
                if let Err(error) = look_through(&*self.ports.cas, &output.entry) {
                    return error.into();
                }
            }
            self.levels.distrust(lost.digest);
        }
        Trouble::Lost(Lost { producer: Some(producer), ..lost })
    }

    /// Whether an entry is or holds a blob. A level that cannot be read may hold anything.
    fn holds(&self, entry: &Entry, blob: Digest) -> bool {
        match entry {
            Entry::File { digest, .. } => *digest == blob,
            Entry::Symlink { .. } => false,
            Entry::Dir { digest } if *digest == blob => true,
            Entry::Dir { digest } => match self.levels.get(*digest) {
                Ok(tree) => tree.entries.values().any(|below| self.holds(below, blob)),
                Err(_) => true,
            },
        }
    }
}
