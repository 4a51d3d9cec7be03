/**
 * What `run` makes of its stdio options: entries for the descriptor, streams for the caller.
 */
import { pipeline, Readable, type Writable } from 'node:stream'
import type { StdioEntry } from '../call-spec.js'
import { Stdio } from '../memory.js'
import type { PipeEnd, StdinPipes } from '../stdin-pipe.js'
import type { RunArguments } from './arguments.js'
import type { HelperInput, OutputTarget } from './types.js'

export interface RunStdio {
  readonly entries: readonly StdioEntry[]
  readonly stdin: Writable | null
  readonly stdout: Readable | null
  readonly stderr: Readable | null
  /** The call was not queued: closes the helper's ends, and the caller's with them. */
  discard(): void
  /** The program was not started: brings the caller's ends to their end. */
  abandon(): void
}

const IGNORE: StdioEntry = { kind: Stdio.IGNORE, fd: 0 }

/**
 * @param inputFailed called if `input` is a stream that fails
 * @throws an error with `code` and `errno` where no pipe can be made; what was made before is closed
 */
export function openStdio(
  pipes: StdinPipes,
  args: RunArguments,
  inputFailed: (error: Error) => void,
): RunStdio {
  const ends: PipeEnd[] = []
  const streams: (Readable | Writable)[] = []
  const discard = () => {
    for (const end of ends) {
      pipes.discard(end)
      end.abandon?.()
    }
    for (const stream of streams) stream.destroy()
  }
  const abandon = () => {
    for (const end of ends) end.abandon?.()
    for (const stream of streams) if ('writable' in stream && stream.writable) stream.destroy()
  }
  const output = (target: OutputTarget, number: number): [StdioEntry, Readable | null] => {
    if (target !== 'pipe') return [outputEntry(target, number), null]
    const { readable, ...end } = pipes.fromHelper()
    ends.push(end)
    streams.push(readable)
    return [end, readable]
  }
  try {
    const [stdinEntry, stdin] = openStdin(pipes, args, ends, streams, inputFailed)
    const [stdoutEntry, stdout] = output(args.stdout, 1)
    const [stderrEntry, stderr] = output(args.stderr, 2)
    return { entries: [stdinEntry, stdoutEntry, stderrEntry], stdin, stdout, stderr, discard, abandon }
  } catch (error) {
    discard()
    throw error
  }
}

function openStdin(
  pipes: StdinPipes,
  { stdin, input }: RunArguments,
  ends: PipeEnd[],
  streams: (Readable | Writable)[],
  inputFailed: (error: Error) => void,
): [StdioEntry, Writable | null] {
  if (input !== undefined) return [feed(pipes, input, ends, streams, inputFailed), null]
  if (stdin === 'ignore') return [IGNORE, null]
  if (stdin === 'inherit') return [{ kind: Stdio.FD, fd: 0 }, null]
  if (typeof stdin === 'number') return [{ kind: Stdio.FD, fd: stdin }, null]
  if (typeof stdin === 'object') return [{ kind: Stdio.READ_FILE, fd: 0, path: stdin.file }, null]
  const { writable, ...end } = pipes.toHelper(false)
  ends.push(end)
  streams.push(writable)
  return [end, writable]
}

/** Gives the helper its input: little of it lies in the pipe before the helper starts, more is streamed. */
function feed(
  pipes: StdinPipes,
  input: HelperInput,
  ends: PipeEnd[],
  streams: (Readable | Writable)[],
  inputFailed: (error: Error) => void,
): StdioEntry {
  const whole = typeof input === 'string' || input instanceof Uint8Array
  if (whole) {
    const filled = pipes.filled(input)
    if (filled !== undefined) {
      ends.push(filled)
      return filled
    }
  }
  const { writable, ...end } = pipes.toHelper(whole)
  ends.push(end)
  const source = Readable.from(whole ? [input] : input)
  streams.push(source, writable)
  // A helper need not read all of its input, or any: that is no failure of the call. An input that ends in an
  // error is one, or the helper would take a part of it for the whole.
  let helperHasEnough = false
  writable.once('error', () => {
    helperHasEnough = true
  })
  source.once('error', error => {
    if (!helperHasEnough) inputFailed(error)
  })
  pipeline(source, writable, () => {})
  return end
}

function outputEntry(target: OutputTarget, number: number): StdioEntry {
  if (target === 'ignore') return IGNORE
  if (target === 'capture') return { kind: Stdio.CAPTURE, fd: 0 }
  if (target === 'inherit') return { kind: Stdio.FD, fd: number }
  if (typeof target === 'number') return { kind: Stdio.FD, fd: target }
  if (typeof target === 'object') {
    return { kind: target.append ? Stdio.APPEND_FILE : Stdio.WRITE_FILE, fd: 0, path: target.file }
  }
  return IGNORE
}
