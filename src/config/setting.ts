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
  /** `host`: an IP address or a host name. `path`: must not be empty. `folder`: empty turns it off. */
  readonly format: 'host' | 'path' | 'folder';
  readonly default: string;
  readonly example: string;
}

export type Setting = IntegerSetting | BooleanSetting | ChoiceSetting | StringSetting;

export type SettingValue = string | number | boolean;
