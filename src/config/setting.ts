/** What a row of the table of settings says about one setting. Types only. */

interface Named {
  readonly section: string;
  readonly key: string;
  /** One line, no full stop: shown above the setting in the file and in the help text. */
  readonly summary: string;
}

export interface IntegerSetting extends Named {
  readonly kind: 'integer';
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly unit?: 'bytes' | 'ms' | 'seconds';
  readonly powerOfTwo?: true;
  readonly example: number;
}

export interface BooleanSetting extends Named {
  readonly kind: 'boolean';
  readonly default: boolean;
  readonly example: boolean;
}

export interface ChoiceSetting extends Named {
  readonly kind: 'choice';
  readonly default: string;
  readonly choices: readonly string[];
  /** Said in addition when another value is given: what a reader of the documents may be looking for. */
  readonly remark?: string;
  readonly example: string;
}

export interface StringSetting extends Named {
  readonly kind: 'string';
  /** `host`: an IP address or a host name; `optional-host` may be empty. `path`: must not be empty. `folder`, `file`:
   *  empty turns it off. `origins`: web origins with commas between them, or empty. */
  readonly format: 'host' | 'optional-host' | 'path' | 'folder' | 'file' | 'origins';
  readonly default: string;
  readonly example: string;
}

export type Setting = IntegerSetting | BooleanSetting | ChoiceSetting | StringSetting;

export type SettingValue = string | number | boolean;
