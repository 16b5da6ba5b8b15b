//! Packages: which versions are chosen, from where they come, and that nothing but what the lock promises
//! is used. Leaves out the diagnostics' wording, which the UI tests have.

mod choice;
mod fetched;
mod hostile;
mod vendored;

use crate::support::{Workspace, tool};

/// Repositories of packages beside a workspace that takes them from there.
pub(crate) struct Repositories {
    pub(crate) workspace: Workspace,
}

/// A package that says one word, with further nodes and import lines.
pub(crate) fn package(name: &str, version: &str, more: &str) -> String {
    format!(
        "partita edition=1\n{more}\npackage {name} version=\"{version}\" {{\n    export say\n}}\nrecipe say {{\n    \
         returns said type=artifact.file\n    step say {{\n        write \"{name} {version}\"\n        output said \
         path=said.txt\n    }}\n}}\n"
    )
}

impl Repositories {
    /// A workspace whose root file holds this; `URL` in it stands for the folder of the repositories.
    pub(crate) fn new(spec: &str) -> Option<Self> {
        tool("git")?;
        let this = Self { workspace: Workspace::new() };
        this.spec(spec);
        Some(this)
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.workspace.around().join("repos").display())
    }

    /// Writes the root file anew.
    pub(crate) fn spec(&self, spec: &str) {
        self.workspace.write("partita.kdl", format!("partita edition=1\n{}", spec.replace("URL", &self.url())));
    }

    pub(crate) fn git(&self, name: &str, args: &[&str]) {
        let program = tool("git").expect("it was looked for");
        let folder = self.workspace.around().join("repos").join(name);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let own = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"];
        self.workspace.command(&program, &[&own, args].concat()).folder(&folder).run().ok();
    }

    /// Commits files to a repository, which is made if need be.
    pub(crate) fn commit(&self, name: &str, files: &[(&str, &str)]) {
        if !self.workspace.around().join("repos").join(name).join(".git").exists() {
            self.git(name, &["init", "-q", "."]);
        }
        for (path, text) in files {
            let text = text.replace("URL", &self.url());
            self.workspace.write(&format!("../repos/{name}/{path}"), text);
        }
        self.git(name, &["add", "-A"]);
        self.git(name, &["commit", "-q", "--allow-empty", "-m", "change"]);
    }

    /// Publishes a version of a package.
    pub(crate) fn publish(&self, name: &str, version: &str, more: &str) {
        self.commit(name, &[("partita.kdl", &package(name, version, more))]);
        self.git(name, &["tag", &format!("v{version}")]);
    }

    /// The version of a package in the lock file.
    pub(crate) fn locked(&self, name: &str) -> Option<String> {
        let lock = self.workspace.read("partita.lock");
        let line = lock.lines().find(|line| line.starts_with(&format!("package {name} ")))?;
        Some(line.split('"').nth(1)?.to_owned())
    }

    /// The cache of fetched packages.
    pub(crate) fn cache(&self) -> std::path::PathBuf {
        self.workspace.around().join("home/.cache/partita-packages")
    }

    /// The folders of content in the cache.
    pub(crate) fn contents(&self) -> Vec<std::path::PathBuf> {
        let walk = walkdir::WalkDir::new(self.cache()).min_depth(1).max_depth(1).sort_by_file_name().into_iter();
        walk.filter_map(Result::ok).filter(|entry| entry.file_name().len() == 64).map(|e| e.into_path()).collect()
    }
}
