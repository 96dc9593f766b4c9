/** A drafted note as the server writes it: sections and statements of the contained Composition, how it came about, what was changed. */
import type { Composition, DocumentReference, Extension } from "fhir/r4";

export interface Citation {
  /** Type/id, or a search below the base. */
  target: string;
  element: string;
  value: string;
}

export interface Statement {
  text: string;
  form: string;
  citations: Citation[];
  problems: string[];
}

export interface Section {
  code: string;
  title: string;
  statements: Statement[];
}

export interface Note {
  id: string;
  version: string;
  status: string;
  title: string;
  date: string;
  method: string;
  reason: string;
  supported: number;
  statements: number;
  /** Part of the text that was changed before it was signed, 0 to 1; null until then. */
  changed: number | null;
  signer: string;
  sections: Section[];
}

function within(extension: Extension | undefined, url: string): Extension | undefined {
  return extension?.extension?.find((each) => each.url === url);
}

function named(given: { extension?: Extension[] | undefined }, name: string): Extension | undefined {
  return given.extension?.find((each) => each.url.endsWith(`/StructureDefinition/${name}`));
}

function text(extension: Extension | undefined, url: string): string {
  const found = within(extension, url);
  return found?.valueString ?? found?.valueCode ?? found?.valueUri ?? found?.valueReference?.reference ?? "";
}

/** The note of a document; null when it is none that was drafted here. */
export function read(document_: DocumentReference): Note | null {
  const draft = named(document_, "note-draft");
  const inner = document_.contained?.find((each): each is Composition => each.resourceType === "Composition");
  if (!draft || !inner || !document_.id) return null;
  return {
    id: document_.id,
    version: document_.meta?.versionId ?? "1",
    status: document_.docStatus ?? "",
    title: document_.description ?? "",
    date: document_.date ?? "",
    method: text(draft, "method"),
    reason: text(draft, "reason"),
    supported: within(draft, "supported")?.valueInteger ?? 0,
    statements: within(draft, "statements")?.valueInteger ?? 0,
    changed: within(named(document_, "note-signed"), "changed")?.valueDecimal ?? null,
    signer: document_.authenticator?.reference ?? "",
    sections: (inner.section ?? []).map((each) => ({
      code: each.code?.coding?.[0]?.code ?? "",
      title: each.title ?? "",
      statements: (each.extension ?? []).filter((one) => one.url.endsWith("/StructureDefinition/note-statement")).map(statement),
    })),
  };
}

function statement(extension: Extension): Statement {
  const parts = extension.extension ?? [];
  return {
    text: text(extension, "text"),
    form: text(extension, "form"),
    citations: parts.filter((each) => each.url === "citation").map((each) => ({
      target: text(each, "resource") || text(each, "search"),
      element: text(each, "element"),
      value: text(each, "value"),
    })),
    problems: parts.filter((each) => each.url === "problem").map((each) => each.valueCode ?? ""),
  };
}

/** What is cited, each once: its place here is its number in the text. */
export function targets(note: Note): string[] {
  return [...new Set(note.sections.flatMap((each) => each.statements.flatMap((one) => one.citations.map((it) => it.target))))];
}

/** What a person edits: a line for each statement. */
export function lines(section: Section): string {
  return section.statements.map((each) => each.text).join("\n");
}
