/**
 * What this process is, for the specifiers of kernel.core_pattern.
 */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { CoreFacts } from './pattern.js'

/** RLIM_INFINITY, as Linux prints it. */
const UNLIMITED = 2n ** 64n - 1n
const DUMPABLE = 1
/** Where the processor stands among the fields of /proc/self/stat behind the name in parentheses. */
const PROCESSOR_FIELD = 36
const MS = 1_000

type Victim = Pick<CoreFacts, 'pid' | 'tid' | 'signal' | 'comm' | 'exe'>

export const factsOf = (victim: Victim): CoreFacts => ({
  ...victim,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  dumpable: DUMPABLE,
  time: Math.floor(Date.now() / MS),
  hostname: hostname(),
  limit: coreLimit(),
  processor: processor(),
  // Linux gives the program a pidfd of the dead at descriptor 3. Here what died is a thread of a service that goes on.
  pidfd: undefined,
})

/** The soft RLIMIT_CORE; 0 where it cannot be known. */
function coreLimit(): bigint {
  const [, soft] = /^Max core file size\s+(\S+)/m.exec(contentOf('/proc/self/limits')) ?? []
  if (soft === 'unlimited') return UNLIMITED
  return soft === undefined ? 0n : BigInt(soft)
}

function processor(): number {
  const stat = contentOf('/proc/self/stat')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[PROCESSOR_FIELD] ?? 0)
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
