//! What could stand in the block of `with`, where lists, maps and records are given: parameters that hold others, then
//! elements, fields and values by their types. Leaves out what stands in the line: see `complete`.

use crate::lang::index::SymbolId;
use crate::lang::index::collect::callees;
use crate::lang::index::complete::{Completion, CompletionKind, Place, filters, plain};
use crate::lang::index::context::At;
use crate::lang::index::model::ScopeId;
use crate::lang::index::roles::shape_in;
use crate::lang::shape::Shape;
use crate::lang::shapes::TOP;

/// What is to be filled in: the type as written, the words it may be, and where names in it are looked up.
struct Slot {
    name: String,
    ty: String,
    words: Vec<String>,
    doc: Option<String>,
    scope: ScopeId,
}

impl Slot {
    fn list(&self) -> Option<&str> {
        self.ty.strip_prefix("list<")?.strip_suffix('>')
    }

    fn map(&self) -> Option<&str> {
        self.ty.strip_prefix("map<")?.strip_suffix('>')
    }

    fn held(&self, ty: &str) -> Self {
        Self { name: self.name.clone(), ty: ty.to_owned(), words: self.words.clone(), doc: None, scope: self.scope }
    }
}

impl Place<'_> {
    /// What could stand here, if this is inside the block of a constant, of a `with`, or of what a test gives.
    pub(super) fn given(&self) -> Option<Vec<Completion>> {
        let mut accepts = TOP;
        let mut around: Option<&'static Shape> = None;
        let mut found = None;
        for (depth, parent) in self.context.parents.iter().enumerate() {
            let shape = shape_in(accepts, parent)?;
            if shape.name == "let" {
                found = Some((depth, shape, shape.name));
                break;
            }
            if shape.name == "with" || matches!(shape.name, "given" | "expect") && around.is_some() {
                found = Some((depth, around?, shape.name));
                break;
            }
            around = Some(shape);
            accepts = shape.children;
        }
        let (depth, around, block) = found?;
        match self.context.at {
            At::Nothing => return Some(Vec::new()),
            At::Hole => return Some(self.paths()),
            At::Filter => return Some(filters()),
            At::Note => return Some(vec![plain("var", CompletionKind::Word, "annotation")]),
            At::Value(_) => return Some(Vec::new()),
            At::Name | At::Entry => {}
        }
        if block == "let" {
            let node = self.path.get(depth)?;
            let slot = self.slot(self.index.symbols.iter().position(|symbol| symbol.whole == node.span)?);
            return self.within(slot, &self.context.parents[depth + 1..]);
        }
        let parameters = match block {
            "with" => self.slots(depth.checked_sub(1)?, around),
            _ => self.graph_parameters().into_iter().map(|id| self.slot(id)).collect(),
        };
        let inside = &self.context.parents[depth + 1..];
        let Some((first, inside)) = inside.split_first() else {
            // Single values of a `with` stand in the line.
            let fits = |slot: &Slot| block != "with" || self.is_compound(slot);
            let fitting = parameters.into_iter().filter(fits).collect();
            if self.context.at == At::Name {
                return Some(self.names(fitting));
            }
            let head = self.context.head.as_ref()?;
            let slot = fitting.into_iter().find(|slot| slot.name == head.name);
            return Some(slot.map(|slot| self.of_slot(slot)).unwrap_or_default());
        };
        self.within(parameters.into_iter().find(|slot| slot.name == *first)?, inside)
    }

    /// What could stand inside of what is filled in, so many steps further in.
    fn within(&self, mut slot: Slot, inside: &[String]) -> Option<Vec<Completion>> {
        for part in inside {
            slot = self.step(&slot, part)?;
        }
        if self.context.at == At::Name {
            return Some(match slot.list() {
                Some(inner) => vec![self.block("-", &slot.held(inner))],
                None => self.names(self.fields(&slot)),
            });
        }
        let head = self.context.head.as_ref()?;
        Some(self.of_slot(self.step(&slot, &head.name)?))
    }

    /// What may stand in the line where something is filled in.
    fn of_slot(&self, slot: Slot) -> Vec<Completion> {
        let slot = match slot.list() {
            Some(inner) => slot.held(inner),
            None => slot,
        };
        if self.is_compound(&slot) { Vec::new() } else { self.of_type(&slot.ty, &slot.name, &slot.words) }
    }

    /// The parameters of what the node at a depth names.
    fn slots(&self, depth: usize, around: &'static Shape) -> Vec<Slot> {
        let Some(node) = self.path.get(depth) else { return Vec::new() };
        let callees = callees(node, around);
        let called = callees.iter().filter_map(|callee| self.index.callee(self.scope, callee));
        called.flat_map(|symbol| self.index.parameters(symbol)).map(|id| self.slot(id)).collect()
    }

    fn slot(&self, id: SymbolId) -> Slot {
        let symbol = &self.index.symbols[id];
        Slot {
            name: symbol.name.clone(),
            ty: symbol.ty.clone().unwrap_or_default(),
            words: symbol.words.clone(),
            doc: symbol.doc.clone(),
            scope: symbol.scope,
        }
    }

    /// What a value holds under a name, or as an element.
    fn step(&self, slot: &Slot, part: &str) -> Option<Slot> {
        match (slot.list(), slot.map()) {
            (Some(inner), _) => (part == "-").then(|| slot.held(inner)),
            (None, Some(inner)) => Some(slot.held(inner)),
            (None, None) => self.fields(slot).into_iter().find(|field| field.name == part),
        }
    }

    /// The fields of a record.
    fn fields(&self, slot: &Slot) -> Vec<Slot> {
        let Some(record) = self.index.lookup(slot.scope, "record", &slot.ty) else { return Vec::new() };
        let members = self.index.symbols[record].members.iter().copied();
        members.filter(|member| self.index.symbols[*member].kind == "field").map(|field| self.slot(field)).collect()
    }

    fn is_compound(&self, slot: &Slot) -> bool {
        slot.list().is_some() || slot.map().is_some() || self.index.lookup(slot.scope, "record", &slot.ty).is_some()
    }

    /// Names that are not there yet, each with what follows it.
    fn names(&self, slots: Vec<Slot>) -> Vec<Completion> {
        if self.context.quoted {
            return Vec::new();
        }
        let written = &self.index.text(self.file)[self.context.replace.clone()];
        let around = self.context.parents.len().checked_sub(1).and_then(|depth| self.path.get(depth));
        let siblings = around.and_then(|node| node.children.as_deref()).unwrap_or_default();
        let there = |name: &str| name != written && siblings.iter().any(|node| node.name.value == name);
        slots.iter().filter(|slot| !there(&slot.name)).map(|slot| self.block(&slot.name, slot)).collect()
    }

    /// A name with the block or the value after it.
    fn block(&self, name: &str, slot: &Slot) -> Completion {
        let (insert, snippet) = if !self.is_compound(slot) {
            (format!("{name} "), None)
        } else if slot.list().is_some() {
            (format!("{name} {{"), Some(format!("{name} {{\n    - $0\n}}")))
        } else {
            (format!("{name} {{"), Some(format!("{name} {{\n    $0\n}}")))
        };
        Completion { insert, snippet, doc: slot.doc.clone(), ..plain(name, CompletionKind::Property, slot.ty.clone()) }
    }
}
