/**
 * Every parser of text from outside, with the worst that it can be given at 1 ×, 2 × and 4 × the size: what takes the
 * square of that would take many minutes, and is broken off after half a one.
 *
 * A parser may refuse a text, with an error that says why. It may not run out of stack or memory over it.
 */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createContext, Script } from 'node:vm'
import fc from 'fast-check'
import { checkLimits } from '../../src/applications/cgroup/limits.js'
import { namesOf } from '../../src/applications/cgroup/paths.js'
import { RealGroup } from '../../src/applications/cgroup/real/real-group.js'
import { rootsOf } from '../../src/applications/cgroup/real/roots.js'
import { type CoreFacts, expandPattern } from '../../src/applications/coredump/pattern.js'
import { dockerCredentialType, parseDockerAnswer } from '../../src/applications/keys/adapters/docker.js'
import { gitCredentialType, parseGitAnswer } from '../../src/applications/keys/adapters/git.js'
import { description } from '../../src/applications/keys/arguments.js'
import { matchesAlias, normalAlias } from '../../src/applications/kmod/modprobe/alias.js'
import { emptyConfig, parseConfig } from '../../src/applications/kmod/modprobe/config.js'
import { Modprobe, type ModuleSystemCalls } from '../../src/applications/kmod/modprobe/modprobe.js'
import { readIndex } from '../../src/applications/kmod/modprobe/module-index.js'
import { parseModuleSource } from '../../src/applications/kmod/modprobe/module-source.js'
import { commandsUnderWay } from '../../src/applications/kmod/modprobe/run-command.js'
import { isModuleName, moduleName } from '../../src/applications/kmod/module-file.js'
import { Parameter, parseArguments, splitArguments } from '../../src/applications/kmod/parameters.js'
import { RequestLog } from '../../src/applications/kmod/request-log.js'
import { LineReader, parseAnswer, parseRequest } from '../../src/applications/system-calls/protocol.js'
import { compileBoyerMoore } from '../../src/applications/textsearch/algorithms/boyer-moore.js'
import { compileFsm } from '../../src/applications/textsearch/algorithms/finite-state-machine.js'
import { compileKmp } from '../../src/applications/textsearch/algorithms/kmp.js'
import { BoyerMooreStream, KmpStream } from '../../src/applications/textsearch/stream-matchers.js'
import { NEED_CHUNK, OVER, type StreamMatcher } from '../../src/applications/textsearch/types.js'
import { parseSynthetic } from '../../src/applications/uevent/actions.js'
import { variablesOf } from '../../src/applications/uevent/env.js'
import { parameterLine } from '../../src/cli/modules/insmod.js'
import { quoteCommand } from '../../src/cli/shell-quote.js'
import { assignment } from '../../src/cli/system-calls/sysctl.js'
import { CommandBuilder } from '../../src/cli/xargs/commands.js'
import { itemReader, type Separation } from '../../src/cli/xargs/items.js'
import { Joblog } from '../../src/cli/xargs/joblog.js'
import { capabilitySysctl, integerSysctl, stringSysctl } from '../../src/kernel/proc/handlers.js'
import { ProcTree } from '../../src/kernel/proc/tree.js'
import { temporary, write } from '../helpers/temporary.js'

const SIZES = [100_000, 200_000, 400_000] as const
/** Far more than any of these takes; what is left of it says nothing. */
const HANG_MS = 30_000
const FUZZED = Number(process.env['KHELPER_FUZZED_PARSERS'] ?? 8)

const sandbox = createContext({})
const script = new Script('run()')

/** Breaks off what does not come to an end. What the parser refuses is as good as what it takes. */
function runToItsEnd(run: () => unknown): void {
  sandbox['run'] = run
  try {
    script.runInContext(sandbox, { timeout: HANG_MS })
  } catch (error) {
    const { code, name, message } = error as NodeJS.ErrnoException
    // That of V8 has no code: neither the stack nor the memory for a string was enough.
    if (code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' || (name === 'RangeError' && code === undefined)) {
      assert.fail(message)
    }
  }
}

interface Parser {
  readonly parse: (text: string) => unknown
  /** What its grammar is made of, to be fuzzed: one of them, another one over and over again, and a third. */
  readonly words: readonly string[]
  readonly worst?: Readonly<Record<string, (count: number) => string>>
}

const UUID = '12345678-1234-1234-1234-123456789abc'

const CALLS: ModuleSystemCalls = {
  initModule: async () => {},
  deleteModule: async () => {},
  modules: async () => [],
}

function configured(text: string) {
  const config = emptyConfig()
  parseConfig(text, 'test.conf', config)
  return config
}

let folders = 0

/** A folder of its own, whose files all have the text. */
function folderOf(names: readonly string[], text: string): string {
  folders += 1
  const folder = temporary(`parsed-${folders}`)
  mkdirSync(folder)
  for (const name of names) writeFileSync(join(folder, name), text)
  return folder
}

const FACTS: CoreFacts = {
  pid: 1,
  tid: 2,
  uid: 3,
  gid: 4,
  dumpable: 1,
  signal: 6,
  time: 5,
  hostname: 'host',
  comm: 'comm',
  exe: '/usr/bin/node',
  limit: 0n,
  processor: 0,
  pidfd: undefined,
}

/** Text as it comes: in small pieces. */
function* pieces(text: string, size: number): Generator<string> {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size)
}

const items = (separation: Separation): Parser => ({
  parse: text => {
    const reader = itemReader(separation)
    for (const piece of pieces(text, 7)) for (const _ of reader.push(piece));
    for (const _ of reader.end());
  },
  words: ['"', "'", '\\', ' ', '\n', '\t', '\0', 'a', '\v'],
})

/** Looks for the first half of a text in all of it, and so for what almost matches in many places. */
const search = (matcher: (pattern: Uint8Array) => StreamMatcher): Parser => ({
  parse: text => {
    const bytes = Buffer.from(text, 'latin1')
    const found = matcher(bytes.subarray(0, Math.floor(bytes.length / 8) * 4))
    for (const piece of [bytes.subarray(0, 1000), bytes.subarray(1000)]) {
      found.push(piece)
      for (let next = found.next(); next !== NEED_CHUNK && next !== OVER; next = found.next());
    }
    found.end()
  },
  words: ['a', 'b', 'ab', 'aab', '\0\0\0a', '\x01\0\0\0'],
})

const parameter = (declaration: ConstructorParameters<typeof Parameter>[1]): Parser => ({
  parse: text => new Parameter('p', declaration).set(text),
  words: ['0', '0x', '9', '7', 'f', '-', '+', '\n', ' ', 'y', 'of', ','],
  worst: {
    digits: count => '9'.repeat(count * 10),
    zeros: count => `${'0'.repeat(count * 10)}8`,
    commas: count => ','.repeat(count),
  },
})

const PARSERS: Readonly<Record<string, Parser>> = {
  'modprobe.d': {
    parse: configured,
    words: [
      'alias ',
      'options ',
      'install m ',
      'softdep m ',
      'pre: ',
      'post: ',
      'm',
      ' ',
      '\t',
      '\n',
      '\r\n',
      '\r',
      '\\',
      '\\\n',
      '#',
      '[',
      ']',
    ],
    worst: {
      'options of one module': count => 'options m a=1\n'.repeat(count),
      'lines that go on': count => `options m ${'a=1 \\\n'.repeat(count)}`,
      'a comment that goes on': count => `#${'\\\n'.repeat(count)}`,
      'lines that are wrong': count => 'x\n'.repeat(count),
      'an alias of brackets': count => `alias ${'[a]'.repeat(count)}[ m`,
      'soft dependencies': count => `softdep m pre: ${'a '.repeat(count)}`,
    },
  },
  'what modprobe makes of modprobe.d': {
    parse: text => {
      const modprobe = new Modprobe(CALLS, { indexes: [], config: configured(text), builtin: '/nonexistent' })
      modprobe.plan('m')
    },
    words: ['install m x\n', 'softdep m pre: m m\n', 'alias m m\n', 'alias * m\n', 'options m a=1\n'],
    worst: {
      'options of one module': count => `install m true\n${'options m a=1\n'.repeat(count)}`,
      'soft dependencies that may be aliases': count => {
        const each = (line: (index: number) => string) =>
          Array.from({ length: count / 10 }, (_, index) => line(index)).join('')
        return `install m true\n${each(index => `alias a${index} m\n`)}softdep m pre: ${each(index => `b${index} `)}`
      },
      'soft dependencies of soft dependencies': count => {
        const line = (index: number) => {
          const name = index === 0 ? 'm' : `m${index}`
          return `install ${name} true\nsoftdep ${name} pre: m${index + 1}\n`
        }
        return Array.from({ length: count / 10 }, (_, index) => line(index)).join('')
      },
    },
  },
  'modules.dep, modules.alias, modules.softdep': {
    parse: text => readIndex(folderOf(['modules.dep', 'modules.alias', 'modules.softdep'], text)),
    words: ['a.js', ':', ': ', ' ', '\n', 'alias ', '* ', 'm', 'softdep ', 'pre: ', 'post: ', '#', '\r'],
  },
  'an alias': {
    parse: text => normalAlias(text),
    words: ['a', '-', '[', ']', '[a]', '\\', ' ', '*', '!'],
  },
  'a name, by an alias': {
    parse: text => matchesAlias(text, 'a'.repeat(55)),
    words: ['a', '*', '?', '[', ']', '!', '-', '\\', 'b', '[a-b]', '*a'],
    worst: {
      'one set': count => `*[${'b'.repeat(count)}]`,
      'brackets that nothing closes': count => '['.repeat(count),
      'sets that nothing closes': count => '[a-'.repeat(count),
    },
  },
  'parameters of a module': {
    parse: text => {
      const parameters = new Map([['a', new Parameter('a', { type: 'array', of: 'int', max: 1_000_000 })]])
      parseArguments(parameters, splitArguments(text), () => {})
    },
    words: ['a', '=', '"', ' ', '\n', '--', ',', '1', 'a=1 ', 'a="1" '],
    worst: { 'one parameter, over and over': count => 'a=1,2 '.repeat(count) },
  },
  'a parameter: int': parameter('int'),
  'a parameter: hexint': parameter('hexint'),
  'a parameter: ullong': parameter('ullong'),
  'a parameter: bool': parameter('bool'),
  'a parameter: charp': parameter('charp'),
  'a parameter: array': parameter({ type: 'array', of: 'long', max: 1_000_000 }),
  'a line of modinfo’s source': {
    parse: text => parseModuleSource(text, '/m.js'),
    words: [
      'export const a = ',
      '[',
      ']',
      '{',
      '}',
      ',',
      'b',
      '"a"',
      ';',
      '\n',
      '`',
      '${',
      '-',
      '/*',
      '(',
      'a => ',
    ],
    worst: {
      'constants without a value that is read': count =>
        `let ${Array.from({ length: count / 4 }, (_, index) => `a${index}`).join(',')}`,
      'elements of one export': count => `export const alias = [${"'a',".repeat(count)}]`,
      exports: count =>
        Array.from({ length: count / 10 }, (_, index) => `export const a${index} = 1\n`).join(''),
    },
  },
  'a module’s file': {
    parse: text => isModuleName(moduleName(text)),
    words: ['/', 'a', '-', '.', '.js', '\n'],
  },
  'what a helper tells': {
    parse: text => new RequestLog(() => {}).write(text),
    words: ['<', '>', '3', '<3>', 'a', '\n'],
  },
  'commands under way': {
    parse: text => commandsUnderWay({ KHELPER_MODPROBE_COMMANDS: text }),
    words: [' ', 'install:a', 'a'],
  },
  'kernel.core_pattern': {
    parse: text => expandPattern(text, FACTS, true),
    words: ['%', '%E', '%q', '%%', 'p', '|', '/', ' ', '\t', '@', 'e'],
  },
  'an event that is asked for': {
    parse: parseSynthetic,
    words: ['add', ' ', UUID, 'A=1', '=', 'A', '\n', '\0', `add ${UUID} `],
    worst: { variables: count => `add ${UUID}${' A=1'.repeat(count)}` },
  },
  'variables of an event': {
    parse: text => variablesOf(text.split('\n')),
    words: ['A', '=', '\n', 'A=1\n', '\0'],
  },
  'a sysctl: text': {
    parse: text => stringSysctl('', 256).write(text),
    words: ['a', '\n', '\0', ' ', 'ä', '\ud800'],
  },
  'a sysctl: a number': {
    parse: text => integerSysctl('/p', 0, 0, 1).write(text),
    words: ['0', '0x', '9', 'f', '-', ' ', '\n', '7'],
  },
  'a sysctl: capabilities': {
    parse: text =>
      capabilitySysctl(
        '/p',
        () => 0n,
        () => {},
      ).write?.(text),
    words: ['0', '0x', '9', ' ', '\t', '-', '\n'],
  },
  'a path of the tree': {
    parse: text => {
      const tree = new ProcTree()
      tree.define(`/${text}`, {})
      tree.access(`/${text}`)
      tree.list(`/${text.slice(0, 1000)}`)
    },
    words: ['/', 'proc', '.', '..', '//', 'a/'],
  },
  'lines of a stream': {
    parse: text => {
      const reader = new LineReader(2 ** 21)
      for (const piece of pieces(text, 3)) for (const _ of reader.push(Buffer.from(piece)));
    },
    words: ['\n', ' ', 'a', 'ä', '\r'],
    worst: {
      'empty lines': count => ' \n'.repeat(count),
      'a line that does not come to an end': count => 'a'.repeat(count),
    },
  },
  'the protocol of system calls': {
    parse: text => {
      const reader = new LineReader(2 ** 21)
      for (const piece of pieces(text, 5)) {
        for (const line of reader.push(Buffer.from(piece))) {
          // Whoever sends what is none is told so, and not heard any more.
          parseRequest(line)
          parseAnswer(line)
        }
      }
    },
    words: [
      '{"id":1,"call":"x"}\n',
      '\n',
      ' ',
      '[',
      ']',
      '"',
      '{',
      '}',
      '\\',
      '{"$bytes":"',
      '"a":',
      '1',
      ',',
    ],
    worst: {
      'arguments of arguments': count => `{"id":1,"call":"x","args":[${'['.repeat(count)}\n`,
      bytes: count => `{"id":1,"call":"x","args":[{"$bytes":"${'A'.repeat(count)}"}]}\n`,
    },
  },
  'a description of a key': {
    parse: text => description(text, 'description'),
    words: ['a', ':', '\0', ' '],
  },
  'a URL of git’s': {
    parse: text => gitCredentialType().vetDescription?.(text),
    words: ['https://', 'a', '@', ':', '/', '%', '%41', '?', '.', '..', '\0', 'ß', '['],
  },
  'a registry of docker’s': {
    parse: text => dockerCredentialType({ helper: 'x' }).vetDescription?.(text),
    words: ['a', '@', ':', '/', ' ', '.'],
  },
  'what git’s helper says': {
    parse: text => parseGitAnswer(Buffer.from(text)),
    words: [
      'password=',
      'quit=',
      '=',
      '\n',
      '\r',
      '\r\n',
      'a',
      '1',
      '\0',
      'password_expiry_utc=',
      '9',
      'a=b\n',
    ],
  },
  'what docker’s helper says': {
    parse: text => parseDockerAnswer(Buffer.from(text)),
    words: ['{', '}', '[', '"Secret":', '"', 'a', ',', ':', '\\u0000', ' '],
  },
  'items of xargs: words': items({ kind: 'words' }),
  'items of xargs: lines': items({ kind: 'lines' }),
  'items of xargs: a delimiter': items({ kind: 'delimiter', delimiter: '\0' }),
  'commands of xargs -I': {
    parse: text => {
      const builder = new CommandBuilder({
        initial: ['echo', text],
        maxArgs: undefined,
        maxLines: undefined,
        replace: '{}',
        maxChars: 2 ** 21,
        exitIfTooLong: true,
      })
      for (const _ of builder.push({ text, endsLine: true }));
    },
    words: ['{}', '{', '}', 'a'],
  },
  'a joblog': {
    parse: text => {
      const header = 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n'
      folders += 1
      new Joblog(write(`joblog-${folders}`, header + text), true).close()
    },
    words: ['1\t:\t0\t0\t0\t0\t0\t0\ta\n', '\t', '\n', '1', 'a', ' '],
  },
  'words for a shell': {
    parse: text => quoteCommand([text, text]),
    words: ["'", '\\', '\n', '\t', 'a', ' ', '\x01', 'ä'],
  },
  'khelper sysctl': {
    parse: assignment,
    words: [' ', '=', 'a', '\t', '\n', '.'],
  },
  'khelper insmod': {
    parse: text => parameterLine([text]),
    words: ['=', '"', ' ', 'a', 'a="', '\t'],
  },
  'mounts and groups of a process': {
    parse: text => rootsOf(text, text),
    words: [
      '1 2 3 / /m rw - cgroup x rw,memory\n',
      '1 2 3 / /m rw - cgroup x rw\n',
      '1:memory:/a\n',
      '0::/\n',
      ' - ',
      '\\040',
      '\\',
      ' ',
      ':',
      ',',
      '1',
      '\n',
    ],
    worst: {
      'groups of controllers that are mounted nowhere': count =>
        '1 2 3 / /m rw - cgroup x rw\n'.repeat(count / 4) + '1:memory,pids,cpu:/a\n'.repeat(count / 4),
      'controllers of one group': count => `1:${'memory,'.repeat(count)}:/a\n`,
    },
  },
  'counters of a group': {
    parse: text => {
      const folder = folderOf(['memory.events.local', 'memory.events'], text)
      const place = { kind: 'v2', folder, join: folder } as const
      const group = new RealGroup({
        limits: { memory: 1 },
        parent: undefined,
        places: [place],
        v1: new Set(),
        memoryPlace: place,
        everywhere: [],
      })
      return [group.memoryHits, group.oomKills]
    },
    words: ['oom', ' ', 'oom 1\n', '9', '\n', 'oom_kill 1\n', '\r'],
  },
  'a path of groups': {
    parse: text => namesOf(`/${text}`),
    words: ['/', 'a', '.', '..', '\n', '\ud800'],
  },
  'limits of a group: memory': {
    parse: text => checkLimits({ 'memory.max': text }),
    words: ['0', '9', 'K', 'm', ' ', '\n'],
  },
  'limits of a group: cpu': {
    parse: text => checkLimits({ 'cpu.max': text }),
    words: ['max', '9', ' ', '\n', '0'],
  },
  'text search: kmp': search(pattern => new KmpStream(compileKmp(pattern, false))),
  'text search: bm': search(pattern => new BoyerMooreStream(compileBoyerMoore(pattern, true))),
  // Its pattern alone: a run of one token's bytes is looked through again for each token behind it, as in Linux.
  'text search: fsm': {
    parse: text => {
      const bytes = Buffer.from(text, 'latin1')
      return compileFsm(bytes.subarray(0, Math.floor(bytes.length / 4) * 4))
    },
    // A byte, any, any number of any, any number in front.
    words: ['\0\0\0a', '\x01\0\0\0', '\x01\0\x02\0', '\x01\0\x03\0', '\x01\0\x04\0'],
  },
}

for (const [name, { parse, words, worst = {} }] of Object.entries(PARSERS)) {
  describe(name, () => {
    for (const [situation, text] of Object.entries(worst)) {
      test(situation, () => {
        for (const size of SIZES) runToItsEnd(() => parse(text(size)))
      })
    }

    test('anything over and over again, between two others', () => {
      const word = fc.constantFrom(...words)
      const some = fc.array(word, { maxLength: 2 }).map(all => all.join(''))
      const again = fc.array(word, { minLength: 1, maxLength: 3 }).map(all => all.join(''))
      fc.assert(
        fc.property(some, again, some, (before, repeated, after) => {
          for (const size of SIZES) {
            const count = Math.ceil(size / repeated.length)
            runToItsEnd(() => parse(before + repeated.repeat(count) + after))
          }
        }),
        // To shrink what hangs would take as long again, many times.
        { numRuns: FUZZED, endOnFailure: true },
      )
    })
  })
}
