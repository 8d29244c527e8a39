// Types of leat.js. Times are milliseconds since 1970, durations seconds, as everywhere in Leat.

export type Status = 'pending' | 'running' | 'completed' | 'failed' | 'timeout' | 'cancelled'
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

export interface TaskError { code: string; message: string | null; retryable: boolean; exit_status?: number; signal?: number }
export interface TaskFile { name: string; bytes: number; content_type: string; url: string }
export interface Links { self: string; events: string; result: string; cancel: string; retry: string }

/** A task, as GET /tasks/{id} has it. What is absent is null. */
export interface Task {
  /** Null only in an optimistic row of a LiveList. */
  id: string | null
  type: string
  status: Status
  /** 0 to 100. */
  progress: number
  phase: string | null
  message: string | null
  group_id: string | null
  priority: number
  owner: string | null
  request_id: string | null
  attempt: number
  max_attempts: number | null
  run_at: number | null
  created_at: number
  started_at: number | null
  completed_at: number | null
  updated_at: number
  elapsed_seconds: number | null
  estimated_remaining_seconds: number | null
  queue_position: number | null
  cancel_requested: boolean
  result: Json
  result_type: string | null
  result_bytes: number | null
  error: TaskError | null
  event_count: number
  cursor: string | null
  files: TaskFile[]
  links: Links | null
}

export interface Counts { pending: number; running: number; completed: number; failed: number; timeout: number; cancelled: number }

export interface Group {
  id: string
  owner: string
  status: 'idle' | 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  type: string | null
  progress: number
  counts: Counts
  total: number
  error: TaskError | null
  context?: Json
  version: number
  created_at: number | null
  updated_at: number | null
  links: { self: string; events: string; context: string }
}

export interface JobType {
  type: string
  timeout: number
  max_attempts: number
  max_input_bytes: number
  result_type: string | null
  serialize: 'group' | null
  get: boolean
  paused?: boolean
  [more: string]: unknown
}

/**
 * An event of the log. Besides, with a `ts` and without an `id`: `stream.connected`, once at the beginning and after each reset
 * ({cursor, snapshot?}: the task, the group, or {tasks, more}), and `stream.reset` ({reason}: what was seen so far is of no use;
 * what comes begins anew. reason 'gap' with `task_id`: events of that task are lost).
 */
export interface LeatEvent<Payload = any> {
  /** Opaque; equal ids are the same event. */
  id?: string
  type: string
  ts: number
  task_id?: string | null
  /** 1, 2, 3… without a gap in a task. */
  task_seq?: number | null
  group_id?: string | null
  request_id?: string | null
  payload: Payload
}

export type Subject = string | { task: string } | { group: string; owner?: string } | { all: true }

export interface WatchOptions {
  /** Where to begin: 'earliest' (of a task, unless given), 'now' (of anything else), or behind the event of this id. */
  from?: 'earliest' | 'now' | string | null
  /** Which types: 'task.*', ['doc.created', 'task.status_changed']. */
  types?: string | string[]
  /** Ends the iteration, without an error. */
  signal?: AbortSignal
  /** 'auto': one stream for all that is watched, by polling where streams do not come through. Others are alone. */
  transport?: 'auto' | 'stream' | 'poll'
  /** false: a stream of its own. */
  share?: boolean
  /** false: after a reset nothing that has been is told again; the snapshot says it all. */
  replay?: boolean
}

/** Ends when the task has ended, when the signal aborts, or by break. Throws LeatError for what waiting does not mend. */
export interface Watch extends AsyncIterableIterator<LeatEvent> {
  close(): void
}

export interface SubmitOptions {
  group?: string | null
  /** -100 to 100. */
  priority?: number
  /** Seconds. */
  delay?: number
  run_at?: number
  max_attempts?: number
  timeout?: number
  /** While a task of this text is unfinished, that is the answer. */
  unique?: string
  /** Idempotency-Key; a new one unless given. */
  key?: string
  /** Seconds to wait for the end. */
  wait?: number
  signal?: AbortSignal
  /** How much of the body is sent. */
  onupload?: (sent: number, total: number) => void
  request_id?: string
}

export type Input = Json | undefined | Blob | FormData | ArrayBuffer | ArrayBufferView
export interface Abortable { signal?: AbortSignal }

export interface Options {
  /** Of the API: a path of this site (default '/api'), or a URL. */
  base?: string
  /** A bearer token, or what gives one. `renew`: the last one is expired or revoked. */
  token?: string | null | ((why: { renew: boolean }) => string | null | Promise<string | null>)
  credentials?: RequestCredentials
  /** 'eventsource': streams by EventSource, with tickets where there is a token. */
  streams?: 'fetch' | 'eventsource'
  /** One stream for all tabs of this site and caller (default true). Needs a secure context: https, or localhost. */
  share?: boolean
  /** Who the caller is, for tabs to share a stream; without it, whose token it is. Give it where tokens are renewed. */
  user?: string | null
  /** After so many seconds a hidden page asks no more, until it is seen again (default 30, at most 2 where it shares no stream; -1: never). */
  pauseHidden?: number
  /** Seconds, as `[stream] heartbeat` of the server says (default 15). */
  heartbeat?: number
  /** How often a request is sent again that may be (default 3). */
  retries?: number
  /** Seconds of polling after which streams are tried again (default 60), doubling to 15 minutes. */
  tryStreams?: number
  /** How long to wait before attempt n; this module's own backoff unless given. */
  backoff?: (n: number, atLeast: number) => number
  fetch?: typeof fetch
}

/** subscribe() calls the function at once and at each change, and gives what ends that: the contract of a Svelte store. */
export class Observable<Value, Change = unknown> {
  constructor(value: Value)
  readonly value: Value
  readonly watched: boolean
  subscribe(fn: (value: Value, change?: Change) => void): () => void
  set(value: Value, change?: Change): void
}

export interface Connection {
  /**
   * idle: nothing is watched. live, polling: all is well, rotations included. waiting: it is tried again at `until`.
   * paused: the page is hidden, or the browser offline.
   */
  state: 'idle' | 'connecting' | 'live' | 'polling' | 'waiting' | 'paused'
  transport: 'stream' | 'poll'
  /** This tab has the stream of all. */
  leader: boolean
  until?: number
  error?: string
}

/** A task whose document follows its events while somebody subscribes. */
export class LiveTask extends Observable<Task | null, { event?: LeatEvent; error?: Error }> {
  constructor(client: Leat, id: string, document?: Task | null)
  readonly id: string
  readonly document: Task | null
  /** Of submit(): it was there already (`unique`). */
  joined?: boolean
  /** Why it does not follow any more. */
  error: Error | null
  /** Takes one event of a stream that somebody else reads. */
  apply(event: LeatEvent): void
  take(document: Task, replace?: boolean): Task
  refresh(options?: Abortable): Promise<Task>
  /** Resolves with the document when the task has ended, however it has. */
  finished(options?: Abortable): Promise<Task>
  cancel(): Promise<Task>
  /** `force`: also where it has completed, or runs. */
  retry(options?: { force?: boolean } & Abortable): Promise<Task>
  delete(): Promise<null>
  result(options?: Abortable): Promise<Response>
  watch(options?: WatchOptions): Watch
  readonly resultUrl: string
  fileUrl(name: string): string
}

export interface Row {
  /** Stays the same while the row is there. */
  key: string
  task: Task
  /** Submitted, and neither its answer nor an event is there yet. */
  optimistic: boolean
}

export interface ListFilter { status?: Status; type?: string; group?: string; page_size?: number }

/**
 * Rows, newest first, that follow their events while somebody subscribes. Changes of one turn are told together. It keeps
 * those that were asked for (the first page and each more()) and 500 that came since; the oldest of more go.
 */
export class LiveList extends Observable<Row[], { events: LeatEvent[]; error?: Error }> {
  constructor(client: Leat, filter?: ListFilter)
  readonly filter: ListFilter
  /** Whether there are older tasks than those shown: more() brings them. */
  readonly hasMore: boolean
  readonly loaded: boolean
  error: Error | null
  more(options?: Abortable): Promise<void>
  /** Its row is there at once. A refusal takes it away again. */
  submit(type: string, input?: Input, options?: SubmitOptions): Promise<LiveTask>
}

export interface Page { tasks: Task[]; next_page_token: string }
export interface Ticket { ticket?: string; expires_at: number; url: string }

export class Leat {
  constructor(options?: Options)
  readonly options: Options
  readonly connection: Observable<Connection>

  submit(type: string, input?: Input, options?: SubmitOptions): Promise<LiveTask>
  watch(what: Subject, options?: WatchOptions): Watch
  task(id: string, document?: Task | null): LiveTask
  tasks(filter?: ListFilter): LiveList

  get(id: string, options?: Abortable): Promise<Task>
  list(query?: ListFilter & { page_token?: string } & Abortable): Promise<Page>
  cancel(id: string, options?: Abortable): Promise<Task>
  retry(id: string, options?: { force?: boolean } & Abortable): Promise<Task>
  delete(id: string, options?: Abortable): Promise<null>
  result(id: string, options?: Abortable): Promise<Response>
  log(id: string, options?: Abortable): Promise<string>
  file(id: string, name: string, options?: Abortable): Promise<Response>
  /** Absolute URLs; with a ticket of the task where a link has to be enough. */
  resultUrl(id: string, ticket?: string): string
  logUrl(id: string, ticket?: string): string
  fileUrl(id: string, name: string, ticket?: string): string
  links(id: string): Links

  group(group: string, options?: Abortable): Promise<Group>
  groups(query?: { page_size?: number; page_token?: string } & Abortable): Promise<{ groups: Group[]; next_page_token: string }>
  cancelGroup(group: string, options?: Abortable): Promise<{ cancelled: number; cancel_requested: number }>
  retryGroup(group: string, options?: Abortable): Promise<{ retried: number }>
  publish(group: string, type: string, payload?: Json, options?: Abortable): Promise<{ id: string }>
  context(group: string, options?: Abortable): Promise<{ context: Json; version: number }>
  setContext(group: string, context: Json, version?: number, options?: Abortable): Promise<number>

  types(options?: Abortable): Promise<JobType[]>
  pauseType(type: string, options?: Abortable): Promise<any>
  resumeType(type: string, options?: Abortable): Promise<any>
  stats(options?: Abortable): Promise<any>
  health(options?: Abortable): Promise<any>
  ticket(subject: string | { task: string } | { group: string } | { all: true } | { run: string },
    options?: { ttl?: number; cookie?: boolean } & Abortable): Promise<Ticket>

  /** Any JSON request below the base, with the credential. */
  request(method: string, path: string, body?: unknown,
    options?: { headers?: Record<string, string>; query?: Record<string, unknown> } & Abortable): Promise<any>
  /** Any request; LeatError unless it is answered 2xx. */
  fetch(method: string, path: string, options?: { headers?: Record<string, string>; body?: BodyInit; cache?: RequestCache } & Abortable): Promise<Response>
  url(path: string): string
  /** The token in use. */
  token(renew?: boolean): Promise<string | null>
  /** The token is of no use any more: the next request asks for another. */
  renew(): void
}

/** A refusal (RFC 9457), or no answer (status 0). */
export class LeatError extends Error {
  constructor(status: number, problem?: object, retryAfter?: number)
  readonly status: number
  /** Stable: 'not_found', 'rate_limited', … */
  readonly code: string
  readonly retryable: boolean
  /** Milliseconds. */
  readonly retryAfter: number
  readonly problem: Record<string, any>
}

/** The document after one more of its events; the same one where that changes nothing. */
export function applyEvent(task: Task, event: LeatEvent): Task

/** Milliseconds before attempt n (0, 1, …): 1 s doubling to 30 s, at least `atLeast`, and up to 1 s more. */
export function backoff(n: number, atLeast?: number, chance?: () => number): number

/** text/event-stream as of WHATWG HTML 9.2.6, from chunks that may end anywhere. */
export class EventStreamParser {
  constructor(on: {
    message(message: { type: string; data: string; lastEventId: string }): void
    retry?(ms: number): void
    /** A block without data has ended. */
    id?(lastEventId: string): void
  })
  readonly lastEventId: string
  push(bytes: Uint8Array): void
}

/** A client with options of its own. */
export function connect(options?: Options): Leat
/** That of this site, below /api. */
export const leat: Leat
export default leat
