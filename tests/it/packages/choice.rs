//! The choice of versions over made-up universes of packages: compared with a plain definition, repeated,
//! and with everything in another order. Leaves out repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use partita::base::RelPath;
use partita::lang::{
    Candidate, Catalog, CatalogError, Folder, Lock, MemoryWorld, Pick, Resolution, Resolver, Source, Version, resolve,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

/// For each package its versions `1.N.0`, each with what it needs: package and least `N`.
type Needs = Vec<(usize, u64)>;
#[derive(Clone, Debug)]
struct Universe {
    packages: Vec<BTreeMap<u64, Needs>>,
    root: Needs,
}

const COUNT: usize = 5;

fn universe() -> impl Strategy<Value = Universe> {
    let needs = || vec((0..COUNT, 0..4u64), 0..3);
    let versions = vec((0..6u64, needs()), 1..5).prop_map(|all| all.into_iter().collect::<BTreeMap<u64, Needs>>());
    (vec(versions, COUNT), vec((0..COUNT, 0..4u64), 1..4)).prop_map(|(packages, root)| Universe { packages, root })
}

fn imports(needs: &[(usize, u64)], reverse: bool) -> String {
    let line = |(index, (package, least)): (usize, &(usize, u64))| {
        format!("import \"git+https://git.example.org/p{package}\" version=\"1.{least}\" as=a{index}\n")
    };
    let mut lines: Vec<String> = needs.iter().enumerate().map(line).collect();
    if reverse {
        lines.reverse();
    }
    lines.concat()
}

struct Shelf<'a> {
    universe: &'a Universe,
    reverse: bool,
}

fn index(source: &Source) -> usize {
    source.to_string().rsplit('p').next().and_then(|number| number.parse().ok()).expect("a package of the universe")
}

impl Catalog for Shelf<'_> {
    fn versions(&self, source: &Source) -> Result<Vec<Version>, CatalogError> {
        let known = self.universe.packages[index(source)].keys();
        let mut versions: Vec<Version> = known.filter_map(|minor| Version::parse(&format!("1.{minor}.0"))).collect();
        if self.reverse {
            versions.reverse();
        }
        Ok(versions)
    }

    fn candidate(&self, source: &Source, pick: &Pick) -> Result<Candidate, CatalogError> {
        let Pick::Version(version) = pick else { return Err(CatalogError("no such thing".to_owned())) };
        let text = version.to_string();
        let minor: u64 = text.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("as it was made");
        let number = index(source);
        let needs = imports(&self.universe.packages[number][&minor], self.reverse);
        let text = format!("partita edition=1\n{needs}package p{number} version=\"{version}\"\n");
        let mut folder = Folder::default();
        folder.insert("partita.kdl", text.into_bytes(), false).expect("it is small");
        Ok(Candidate { folder: Arc::new(folder), commit: Some("0".repeat(40)) })
    }
}

fn run(universe: &Universe, reverse: bool, previous: Option<&Lock>, update: Option<&str>) -> Resolution {
    let world = MemoryWorld::single(&format!("partita edition=1\n{}", imports(&universe.root, reverse)));
    let root = RelPath::new("partita.kdl").expect("a relative path");
    let catalog = Shelf { universe, reverse };
    resolve(&Resolver { world: &world, root: &root, catalog: &catalog, previous, update })
}

/// What must come out, by the definition: each need reaches the lowest version it admits; of those that are
/// reached the highest counts; then what the chosen ones need. `None` if a need cannot be met.
fn defined(universe: &Universe) -> Option<BTreeMap<usize, u64>> {
    let mut reached: BTreeSet<(usize, u64)> = BTreeSet::new();
    let mut open = universe.root.clone();
    while let Some((package, least)) = open.pop() {
        let (minor, needs) = universe.packages[package].range(least..).next()?;
        if reached.insert((package, *minor)) {
            open.extend(needs.iter().copied());
        }
    }
    let highest = |package: usize| reached.iter().filter(|(other, _)| *other == package).map(|(_, minor)| *minor).max();
    let mut chosen = BTreeMap::new();
    let mut open: Vec<usize> = universe.root.iter().map(|(package, _)| *package).collect();
    while let Some(package) = open.pop() {
        let minor = highest(package)?;
        if chosen.insert(package, minor).is_none() {
            open.extend(universe.packages[package][&minor].iter().map(|(package, _)| *package));
        }
    }
    Some(chosen)
}

fn minors(lock: &Lock) -> BTreeMap<usize, u64> {
    let of = |package: &partita::lang::Locked| {
        let minor = package.version.to_string().split('.').nth(1).and_then(|minor| minor.parse().ok());
        (index(&package.source), minor.expect("as it was made"))
    };
    lock.packages.iter().map(of).collect()
}

proptest! {
    #[test]
    fn the_lowest_that_all_are_content_with(universe in universe()) {
        let first = run(&universe, false, None, None);
        match defined(&universe) {
            Some(wanted) => {
                prop_assert!(!first.diagnostics.has_errors(), "{:?}", first.diagnostics);
                prop_assert_eq!(minors(&first.lock), wanted);
                prop_assert_eq!(first.folders.len(), first.lock.packages.len());
            }
            None => prop_assert!(first.diagnostics.has_errors()),
        }
    }

    #[test]
    fn again_and_in_another_order_it_is_the_same(universe in universe()) {
        let first = run(&universe, false, None, None);
        let other = run(&universe, true, None, None);
        prop_assert_eq!(first.diagnostics.has_errors(), other.diagnostics.has_errors());
        prop_assert_eq!(minors(&first.lock), minors(&other.lock));
        let again = run(&universe, false, Some(&first.lock), None);
        prop_assert_eq!(&again.lock, &first.lock);
    }

    #[test]
    fn an_update_takes_the_newest_and_stays(universe in universe(), which in any::<proptest::sample::Index>()) {
        let first = run(&universe, false, None, None);
        if !first.diagnostics.has_errors() && !first.lock.packages.is_empty() {
            let name = first.lock.packages[which.index(first.lock.packages.len())].name.clone();
            let updated = run(&universe, false, Some(&first.lock), Some(&name));
            if !updated.diagnostics.has_errors() {
                let after = minors(&updated.lock);
                let number: usize = name[1..].parse().expect("as it was made");
                // Its newest version may have made itself unnecessary, and then there is nothing to keep.
                if let Some(now) = after.get(&number) {
                    let newest = universe.packages[number].keys().max().expect("there is one");
                    prop_assert_eq!(now, newest);
                    let again = run(&universe, true, Some(&updated.lock), None);
                    prop_assert_eq!(minors(&again.lock), after);
                }
            }
        }
    }
}

#[test]
fn two_that_exclude_each_other_are_both_shown() {
    let world = MemoryWorld::single(
        "partita edition=1\nimport \"git+https://git.example.org/p0\" version=\"1.0\" as=a\nimport \
         \"git+https://git.example.org/p0\" version=\"2.0\" as=b\n",
    );
    struct Two;
    impl Catalog for Two {
        fn versions(&self, _: &Source) -> Result<Vec<Version>, CatalogError> {
            Ok(["1.0.0", "2.0.0"].into_iter().filter_map(Version::parse).collect())
        }
        fn candidate(&self, _: &Source, pick: &Pick) -> Result<Candidate, CatalogError> {
            let Pick::Version(version) = pick else { return Err(CatalogError("no".to_owned())) };
            let mut folder = Folder::default();
            let text = format!("partita edition=1\npackage p0 version=\"{version}\"\n");
            folder.insert("partita.kdl", text.into_bytes(), false).expect("it is small");
            Ok(Candidate { folder: Arc::new(folder), commit: Some("0".repeat(40)) })
        }
    }
    let root = RelPath::new("partita.kdl").expect("a relative path");
    let found = resolve(&Resolver { world: &world, root: &root, catalog: &Two, previous: None, update: None });
    let items = found.diagnostics.sorted();
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0].code.as_str(), "P0209");
    let line = |span: partita::diag::Span| found.sources.file(span.source).line_column(span.start as usize).0;
    assert_eq!((line(items[0].primary.span), line(items[0].secondary[0].span)), (2, 3));
}
