/**
 * One YAML file as plain objects, each with a map from places to line numbers, so that an error can
 * point at its line. JSON is YAML too.
 *
 * Invariant: what the YAML library says about an error is used without its snippet of the source,
 * which may be a secret.
 */

import {
  constructFromEvents,
  EVENT_ID,
  type Event,
  getScalarValue,
  parseEvents,
  YAMLException,
} from "js-yaml";
import { OperatingError } from "../../common/operating-error.ts";

/** One document of a file. */
export interface YamlDocument {
  readonly value: unknown;
  /** The line of a place, or of the nearest place around it that has one. */
  readonly lineOf: (pointer: readonly (string | number)[]) => number;
}

/** The text is not YAML. */
export class YamlSyntaxError extends OperatingError {
  readonly line: number;

  constructor(line: number, reason: string) {
    super("yaml-syntax", `this is not YAML: ${reason}`);
    this.line = line;
  }
}

/** A resource file has kilobytes. */
const YAML_FILE_LENGTH_MAX = 4_194_304;
/** Deeper or more often repeated than any resource of ours. */
const DEPTH_MAX = 40;
const ALIASES_MAX = 100;

/** Reads all documents of a text; empty ones are left out. */
export function parseYamlFile(text: string): readonly YamlDocument[] {
  if (text.length > YAML_FILE_LENGTH_MAX) {
    throw new YamlSyntaxError(1, `it is longer than ${YAML_FILE_LENGTH_MAX} characters; split it`);
  }
  try {
    const events = parseEvents(text, { maxDepth: DEPTH_MAX });
    const values = constructFromEvents(events, { source: text, maxAliases: ALIASES_MAX });
    const places = placesOf(events, text);
    return values.flatMap((value, index) =>
      value === null || value === undefined
        ? []
        : [{ value, lineOf: lineFinder(places[index] ?? new Map()) }],
    );
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    throw new YamlSyntaxError((error.mark?.line ?? 0) + 1, error.reason);
  }
}

type Places = Map<string, number>;

function lineFinder(places: Places): YamlDocument["lineOf"] {
  return (pointer) => {
    for (let length = pointer.length; length >= 0; length--) {
      const line = places.get(keyOf(pointer.slice(0, length)));
      if (line !== undefined) return line;
    }
    return 1;
  };
}

function keyOf(pointer: readonly (string | number)[]): string {
  return JSON.stringify(pointer.map(String));
}

interface Level {
  readonly pointer: readonly (string | number)[];
  readonly isMapping: boolean;
  /** The key that waits for its value. */
  key?: string;
  index: number;
}

/** Walks the events of all documents; one map each. */
function placesOf(events: readonly Event[], text: string): Places[] {
  const starts = lineStarts(text);
  const documents: Places[] = [];
  const levels: (Level | undefined)[] = [];
  for (const event of events) {
    if (event.type === EVENT_ID.DOCUMENT) {
      documents.push(new Map());
      levels.push(undefined);
    } else if (event.type === EVENT_ID.POP) {
      levels.pop();
    } else {
      takeNode(event, { levels, places: documents.at(-1) ?? new Map(), starts, text });
    }
  }
  return documents;
}

interface Walk {
  readonly levels: (Level | undefined)[];
  readonly places: Places;
  readonly starts: readonly number[];
  readonly text: string;
}

function takeNode(event: Exclude<Event, { type: 1 | 6 }>, walk: Walk): void {
  const level = walk.levels.at(-1);
  const offset = "valueStart" in event ? event.valueStart : "start" in event ? event.start : -1;
  const isKey = level?.isMapping === true && level.key === undefined;
  if (isKey && level !== undefined) {
    level.key = event.type === EVENT_ID.SCALAR ? String(getScalarValue(walk.text, event)) : "";
    if (offset >= 0) {
      walk.places.set(keyOf([...level.pointer, level.key]), lineAt(walk.starts, offset));
    }
    if (event.type === EVENT_ID.SCALAR || event.type === EVENT_ID.ALIAS) return;
  }
  const pointer = level === undefined ? [] : [...level.pointer, level.key ?? level.index];
  if (level !== undefined && !isKey) {
    level.index++;
    delete level.key;
  }
  const key = keyOf(pointer);
  if (offset >= 0 && !walk.places.has(key)) walk.places.set(key, lineAt(walk.starts, offset));
  if (event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE) {
    walk.levels.push({ pointer, isMapping: event.type === EVENT_ID.MAPPING, index: 0 });
  }
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low + 1;
}
