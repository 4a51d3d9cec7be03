/**
 * Words as a shell would read them back: for joblogs and for what `-t` prints.
 */

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what makes a word not fit on its line
const CONTROL = /[\x00-\x1f\x7f]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const SPECIAL = /[\x00-\x1f\x7f\\']/g

/** One word on one line: plain, in single quotes, or in $'…' where it has control characters. */
function quoteWord(word: string): string {
  if (PLAIN.test(word)) return word
  if (!CONTROL.test(word)) return `'${word.replaceAll("'", "'\\''")}'`
  return `$'${word.replace(SPECIAL, escaped)}'`
}

export const quoteCommand = (words: readonly string[]): string => words.map(quoteWord).join(' ')

function escaped(character: string): string {
  if (character === '\\' || character === "'") return `\\${character}`
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}
